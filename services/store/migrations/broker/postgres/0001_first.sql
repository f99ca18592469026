-- The broker's tables. Parties, purposes and persons appear as keyed tags only; bodies are sealed by
-- the caller. Times are milliseconds since 1970 UTC; ids and times come from the application.

-- What is in force. One row, read in every deciding transaction, so that no process decides on an old set.
CREATE TABLE in_force (
    singleton         BIGINT  NOT NULL PRIMARY KEY CHECK (singleton = 1),
    directory_version BIGINT  NOT NULL,
    policy_sha256     BYTEA   NOT NULL
);

CREATE TABLE directory_file (
    version     BIGINT  NOT NULL PRIMARY KEY,
    content     BYTEA   NOT NULL,
    signatures  BYTEA   NOT NULL,
    imported_at BIGINT  NOT NULL
);

-- Kept as long as the entries that refer to it, so that any decision can be traced (ADL level 4).
CREATE TABLE policy_set (
    sha256       BYTEA   NOT NULL PRIMARY KEY,
    content      BYTEA   NOT NULL,
    signatures   BYTEA   NOT NULL,
    activated_at BIGINT  NOT NULL
);

-- The broker's own context keys, sealed.
CREATE TABLE context_key (
    label      TEXT    NOT NULL PRIMARY KEY,
    public_key BYTEA   NOT NULL,
    sealed_key BYTEA   NOT NULL,
    opened_at  BIGINT  NOT NULL
);

-- One row for each person in each relation that was ever asked about, unknown persons included: the
-- row that every decision locks.
CREATE TABLE relation_subject (
    subject_index  BYTEA   NOT NULL PRIMARY KEY,
    relation_tag   BYTEA   NOT NULL,
    sealed_handle  BYTEA   NOT NULL,
    objected_at    BIGINT,
    restricted_at  BIGINT,
    -- The consent that is looked at; no reference, because the two rows name each other.
    consent_id     BYTEA,
    created_at     BIGINT  NOT NULL
);
CREATE INDEX relation_subject_age ON relation_subject (created_at);

-- Consent records. The body holds the latest consent statement, sealed; `state` and `valid_until` are in
-- clear for sweeps only: decisions read the statement.
CREATE TABLE consent (
    consent_id    BYTEA   NOT NULL PRIMARY KEY,
    subject_index BYTEA   NOT NULL REFERENCES relation_subject (subject_index),
    version       BIGINT  NOT NULL,
    state         BIGINT  NOT NULL,
    valid_until   BIGINT  NOT NULL,
    -- When it is no longer needed to show that it was given (AVG 7(1)).
    erase_at      BIGINT  NOT NULL,
    stop_tag      BYTEA,
    created_at    BIGINT  NOT NULL,
    body          BYTEA   NOT NULL
);
CREATE UNIQUE INDEX consent_stop ON consent (stop_tag) WHERE stop_tag IS NOT NULL;
CREATE INDEX consent_subject ON consent (subject_index);
CREATE INDEX consent_erase ON consent (erase_at);

-- Every change of a record, appended; never changed.
CREATE TABLE consent_event (
    consent_id BYTEA   NOT NULL REFERENCES consent (consent_id),
    version    BIGINT  NOT NULL,
    state      BIGINT  NOT NULL,
    time       BIGINT  NOT NULL,
    body       BYTEA   NOT NULL,
    PRIMARY KEY (consent_id, version)
);

-- Who asked a person for consent and waits for it.
CREATE TABLE question (
    question_id   BYTEA   NOT NULL PRIMARY KEY,
    subject_index BYTEA   NOT NULL REFERENCES relation_subject (subject_index),
    created_at    BIGINT  NOT NULL,
    body          BYTEA   NOT NULL
);
CREATE INDEX question_age ON question (created_at);
CREATE INDEX question_subject ON question (subject_index);

-- A person's pseudonym at a vakbond, waiting to be fetched with the code. Each row under a data key of its
-- own.
CREATE TABLE link_code (
    code_sha256 BYTEA   NOT NULL PRIMARY KEY,
    party_tag   BYTEA   NOT NULL,
    expires_at  BIGINT  NOT NULL,
    wrapped_key BYTEA   NOT NULL,
    sealed      BYTEA   NOT NULL,
    -- The request that redeemed it: its repeats get the same answer.
    taken_by    BYTEA
);
CREATE INDEX link_code_expires ON link_code (expires_at);

-- Wrong codes, counted for each desk or source. Gone after ten minutes. Numbered, so that
-- of two that are counted at once one is begun anew and counts again.
CREATE TABLE wrong_code (
    attempt_id BYTEA   NOT NULL PRIMARY KEY,
    source_tag BYTEA   NOT NULL,
    time       BIGINT  NOT NULL,
    number     BIGINT  NOT NULL
);
CREATE INDEX wrong_code_source ON wrong_code (source_tag, time);
CREATE UNIQUE INDEX wrong_code_number ON wrong_code (source_tag, number);

-- What the portal has not taken over yet. Each row under a data key of its own.
CREATE TABLE feed (
    line_id     BYTEA   NOT NULL PRIMARY KEY,
    wrapped_key BYTEA   NOT NULL,
    sealed      BYTEA   NOT NULL
);

CREATE TABLE handover (
    handover_id      BYTEA   NOT NULL PRIMARY KEY,
    revision         BIGINT  NOT NULL,
    state            BIGINT  NOT NULL,
    sender_tag       BYTEA   NOT NULL,
    recipient_tag    BYTEA   NOT NULL,
    purpose_tag      BYTEA   NOT NULL,
    subject_index    BYTEA   NOT NULL REFERENCES relation_subject (subject_index),
    group_tag        BYTEA,
    entered_at       BIGINT  NOT NULL,
    deadline_at      BIGINT,
    remaining_millis BIGINT,
    opened_at        BIGINT,
    -- When the sender is told that the recipient took no notice; empty once it did, or the sender was.
    undelivered_at   BIGINT,
    -- When it is looked whether it has been kept as long as the register says; empty before it ends.
    erase_at         BIGINT,
    day              BIGINT  NOT NULL,
    wrapped_key      BYTEA,
    body             BYTEA   NOT NULL
);
CREATE INDEX handover_deadline ON handover (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX handover_undelivered ON handover (undelivered_at) WHERE undelivered_at IS NOT NULL;
CREATE INDEX handover_erase ON handover (erase_at) WHERE erase_at IS NOT NULL;
CREATE INDEX handover_pair ON handover (sender_tag, recipient_tag, state);
CREATE INDEX handover_subject ON handover (subject_index);
CREATE INDEX handover_opened ON handover (subject_index) WHERE opened_at IS NOT NULL;
CREATE INDEX handover_group ON handover (group_tag) WHERE group_tag IS NOT NULL;
CREATE INDEX handover_day ON handover (day) WHERE wrapped_key IS NOT NULL;

-- What waits for the recipient, under the handover's data key; gone when the handover ends.
CREATE TABLE payload (
    handover_id BYTEA   NOT NULL REFERENCES handover (handover_id),
    stage       BIGINT  NOT NULL,
    sealed      BYTEA   NOT NULL,
    PRIMARY KEY (handover_id, stage)
);

CREATE TABLE notice (
    notice_id     BYTEA   NOT NULL PRIMARY KEY,
    handover_id   BYTEA   NOT NULL REFERENCES handover (handover_id),
    recipient_tag BYTEA   NOT NULL,
    kind          BIGINT  NOT NULL,
    state         BIGINT  NOT NULL,
    sent_at       BIGINT  NOT NULL,
    due_at        BIGINT  NOT NULL,
    received_at   BIGINT,
    answered_at   BIGINT,
    body          BYTEA   NOT NULL
);
CREATE INDEX notice_handover ON notice (handover_id);
CREATE INDEX notice_due ON notice (due_at) WHERE answered_at IS NULL;

-- What happened, for one party each. Positions count per party: a global number would tell every
-- party how busy the others are.
CREATE TABLE inbox_head (
    party_tag BYTEA   NOT NULL PRIMARY KEY,
    position  BIGINT  NOT NULL
);
CREATE TABLE inbox (
    party_tag  BYTEA   NOT NULL,
    position   BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    body       BYTEA   NOT NULL,
    PRIMARY KEY (party_tag, position)
);
CREATE INDEX inbox_age ON inbox (created_at);
-- Up to which item a party has shown that it has them, by coming back with a later place. Apart from the head,
-- which everybody who tells the party something waits for.
CREATE TABLE inbox_place (
    party_tag BYTEA   NOT NULL PRIMARY KEY,
    confirmed BIGINT  NOT NULL
);

-- Outcomes of changing calls, so that a repeat gets the same answer.
CREATE TABLE request_outcome (
    caller_tag  BYTEA   NOT NULL,
    request_id  BYTEA   NOT NULL,
    body_sha256 BYTEA   NOT NULL,
    outcome     BYTEA   NOT NULL,
    created_at  BIGINT  NOT NULL,
    PRIMARY KEY (caller_tag, request_id)
);
CREATE INDEX request_outcome_age ON request_outcome (created_at);

-- The log. Written in the action's transaction; leaf_index comes later, from the sequencer.
CREATE TABLE audit_entry (
    entry_id      BYTEA   NOT NULL PRIMARY KEY,
    leaf_index    BIGINT,
    leaf_sha256   BYTEA   NOT NULL,
    year          BIGINT  NOT NULL,
    time          BIGINT  NOT NULL,
    handover_tag  BYTEA,
    sender_tag    BYTEA,
    recipient_tag BYTEA,
    caller_tag    BYTEA   NOT NULL,
    purpose_tag   BYTEA,
    subject_tag   BYTEA,
    finding_tag   BYTEA,
    body          BYTEA   NOT NULL
);
CREATE UNIQUE INDEX audit_entry_leaf ON audit_entry (leaf_index) WHERE leaf_index IS NOT NULL;
CREATE INDEX audit_entry_unsequenced ON audit_entry (time) WHERE leaf_index IS NULL;
CREATE INDEX audit_entry_handover ON audit_entry (handover_tag, entry_id) WHERE handover_tag IS NOT NULL;
CREATE INDEX audit_entry_sender ON audit_entry (sender_tag, entry_id) WHERE sender_tag IS NOT NULL;
CREATE INDEX audit_entry_recipient ON audit_entry (recipient_tag, entry_id) WHERE recipient_tag IS NOT NULL;
CREATE INDEX audit_entry_caller ON audit_entry (caller_tag, entry_id);
CREATE INDEX audit_entry_purpose ON audit_entry (purpose_tag, entry_id) WHERE purpose_tag IS NOT NULL;
CREATE INDEX audit_entry_finding ON audit_entry (finding_tag, entry_id) WHERE finding_tag IS NOT NULL;
CREATE INDEX audit_entry_subject ON audit_entry (subject_tag, entry_id) WHERE subject_tag IS NOT NULL;

-- What stays of an entry when its term is over: proofs need its leaf hash, which says nothing without the body
-- and its nonce.
CREATE TABLE erased_entry (
    entry_id    BYTEA  NOT NULL PRIMARY KEY,
    leaf_index  BIGINT,
    leaf_sha256 BYTEA  NOT NULL,
    year        BIGINT NOT NULL
);

-- Which process does the broker's own work: deadlines, sweeps. One row for each kind of work, locked by whoever
-- looks. The holder is a number that a process drew when it started; the term counts how often it changed.
CREATE TABLE lease (
    work       TEXT   NOT NULL PRIMARY KEY,
    holder     BYTEA  NOT NULL,
    term       BIGINT NOT NULL,
    held_until BIGINT NOT NULL
);

-- Each time these tables were put back from a backup. The door is shut while one has not been opened, and
-- inboxes go on so far ahead after each that no place from before can be ahead of them.
CREATE TABLE restoration (
    restored_at BIGINT  NOT NULL PRIMARY KEY,
    backup_at   BIGINT  NOT NULL,
    opened_at   BIGINT 
);

-- Desks that have sent again, since a restoration, all that they had stopped.
CREATE TABLE resent (
    restored_at BIGINT  NOT NULL REFERENCES restoration (restored_at),
    caller_tag  BYTEA  NOT NULL,
    resent_at   BIGINT  NOT NULL,
    PRIMARY KEY (restored_at, caller_tag)
);
