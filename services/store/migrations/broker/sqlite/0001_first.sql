-- The broker's tables. Parties, purposes and persons appear as keyed tags only; bodies are sealed by
-- the caller. Times are milliseconds since 1970 UTC; ids and times come from the application.

-- What is in force. One row, read in every deciding transaction, so that no process decides on an old set.
CREATE TABLE in_force (
    singleton         INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    directory_version INTEGER NOT NULL,
    policy_sha256     BLOB    NOT NULL
) STRICT;

CREATE TABLE directory_file (
    version     INTEGER NOT NULL PRIMARY KEY,
    content     BLOB    NOT NULL,
    signatures  BLOB    NOT NULL,
    imported_at INTEGER NOT NULL
) STRICT;

-- Kept as long as the entries that refer to it, so that any decision can be traced (ADL level 4).
CREATE TABLE policy_set (
    sha256       BLOB    NOT NULL PRIMARY KEY,
    content      BLOB    NOT NULL,
    signatures   BLOB    NOT NULL,
    activated_at INTEGER NOT NULL
) STRICT;

-- The broker's own context keys, sealed.
CREATE TABLE context_key (
    label      TEXT    NOT NULL PRIMARY KEY,
    public_key BLOB    NOT NULL,
    sealed_key BLOB    NOT NULL,
    opened_at  INTEGER NOT NULL
) STRICT;

-- One row for each person in each relation that was ever asked about, unknown persons included: the
-- row that every decision locks.
CREATE TABLE relation_subject (
    subject_index  BLOB    NOT NULL PRIMARY KEY,
    relation_tag   BLOB    NOT NULL,
    sealed_handle  BLOB    NOT NULL,
    objected_at    INTEGER,
    restricted_at  INTEGER,
    -- The consent that is looked at; no reference, because the two rows name each other.
    consent_id     BLOB,
    created_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX relation_subject_age ON relation_subject (created_at);

-- Consent records. The body holds the latest consent statement, sealed; `state` and `valid_until` are in
-- clear for sweeps only: decisions read the statement.
CREATE TABLE consent (
    consent_id    BLOB    NOT NULL PRIMARY KEY,
    subject_index BLOB    NOT NULL REFERENCES relation_subject (subject_index),
    version       INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    valid_until   INTEGER NOT NULL,
    -- When it is no longer needed to show that it was given (AVG 7(1)).
    erase_at      INTEGER NOT NULL,
    stop_tag      BLOB,
    created_at    INTEGER NOT NULL,
    body          BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX consent_stop ON consent (stop_tag) WHERE stop_tag IS NOT NULL;
CREATE INDEX consent_subject ON consent (subject_index);
CREATE INDEX consent_erase ON consent (erase_at);

-- Every change of a record, appended; never changed.
CREATE TABLE consent_event (
    consent_id BLOB    NOT NULL REFERENCES consent (consent_id),
    version    INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    time       INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (consent_id, version)
) STRICT;

-- Who asked a person for consent and waits for it.
CREATE TABLE question (
    question_id   BLOB    NOT NULL PRIMARY KEY,
    subject_index BLOB    NOT NULL REFERENCES relation_subject (subject_index),
    created_at    INTEGER NOT NULL,
    body          BLOB    NOT NULL
) STRICT;
CREATE INDEX question_age ON question (created_at);
CREATE INDEX question_subject ON question (subject_index);

-- A person's pseudonym at a vakbond, waiting to be fetched with the code. Each row under a data key of its
-- own.
CREATE TABLE link_code (
    code_sha256 BLOB    NOT NULL PRIMARY KEY,
    party_tag   BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    wrapped_key BLOB    NOT NULL,
    sealed      BLOB    NOT NULL,
    -- The request that redeemed it: its repeats get the same answer.
    taken_by    BLOB
) STRICT;
CREATE INDEX link_code_expires ON link_code (expires_at);

-- Wrong codes, counted for each desk or source. Gone after ten minutes. Numbered, so that
-- of two that are counted at once one is begun anew and counts again.
CREATE TABLE wrong_code (
    attempt_id BLOB    NOT NULL PRIMARY KEY,
    source_tag BLOB    NOT NULL,
    time       INTEGER NOT NULL,
    number     INTEGER NOT NULL
) STRICT;
CREATE INDEX wrong_code_source ON wrong_code (source_tag, time);
CREATE UNIQUE INDEX wrong_code_number ON wrong_code (source_tag, number);

-- What the portal has not taken over yet. Each row under a data key of its own.
CREATE TABLE feed (
    line_id     BLOB    NOT NULL PRIMARY KEY,
    wrapped_key BLOB    NOT NULL,
    sealed      BLOB    NOT NULL
) STRICT;

CREATE TABLE handover (
    handover_id      BLOB    NOT NULL PRIMARY KEY,
    revision         INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    sender_tag       BLOB    NOT NULL,
    recipient_tag    BLOB    NOT NULL,
    purpose_tag      BLOB    NOT NULL,
    subject_index    BLOB    NOT NULL REFERENCES relation_subject (subject_index),
    group_tag        BLOB,
    entered_at       INTEGER NOT NULL,
    deadline_at      INTEGER,
    remaining_millis INTEGER,
    opened_at        INTEGER,
    -- When the sender is told that the recipient took no notice; empty once it did, or the sender was.
    undelivered_at   INTEGER,
    -- When it is looked whether it has been kept as long as the register says; empty before it ends.
    erase_at         INTEGER,
    day              INTEGER NOT NULL,
    wrapped_key      BLOB,
    body             BLOB    NOT NULL
) STRICT;
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
    handover_id BLOB    NOT NULL REFERENCES handover (handover_id),
    stage       INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    PRIMARY KEY (handover_id, stage)
) STRICT;

CREATE TABLE notice (
    notice_id     BLOB    NOT NULL PRIMARY KEY,
    handover_id   BLOB    NOT NULL REFERENCES handover (handover_id),
    recipient_tag BLOB    NOT NULL,
    kind          INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    sent_at       INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,
    received_at   INTEGER,
    answered_at   INTEGER,
    body          BLOB    NOT NULL
) STRICT;
CREATE INDEX notice_handover ON notice (handover_id);
CREATE INDEX notice_due ON notice (due_at) WHERE answered_at IS NULL;

-- What happened, for one party each. Positions count per party: a global number would tell every
-- party how busy the others are.
CREATE TABLE inbox_head (
    party_tag BLOB    NOT NULL PRIMARY KEY,
    position  INTEGER NOT NULL
) STRICT;
CREATE TABLE inbox (
    party_tag  BLOB    NOT NULL,
    position   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (party_tag, position)
) STRICT;
CREATE INDEX inbox_age ON inbox (created_at);
-- Up to which item a party has shown that it has them, by coming back with a later place. Apart from the head,
-- which everybody who tells the party something waits for.
CREATE TABLE inbox_place (
    party_tag BLOB    NOT NULL PRIMARY KEY,
    confirmed INTEGER NOT NULL
) STRICT;

-- Outcomes of changing calls, so that a repeat gets the same answer.
CREATE TABLE request_outcome (
    caller_tag  BLOB    NOT NULL,
    request_id  BLOB    NOT NULL,
    body_sha256 BLOB    NOT NULL,
    outcome     BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (caller_tag, request_id)
) STRICT;
CREATE INDEX request_outcome_age ON request_outcome (created_at);

-- The log. Written in the action's transaction; leaf_index comes later, from the sequencer.
CREATE TABLE audit_entry (
    entry_id      BLOB    NOT NULL PRIMARY KEY,
    leaf_index    INTEGER,
    leaf_sha256   BLOB    NOT NULL,
    year          INTEGER NOT NULL,
    time          INTEGER NOT NULL,
    handover_tag  BLOB,
    sender_tag    BLOB,
    recipient_tag BLOB,
    caller_tag    BLOB    NOT NULL,
    purpose_tag   BLOB,
    subject_tag   BLOB,
    finding_tag   BLOB,
    body          BLOB    NOT NULL
) STRICT;
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
    entry_id    BLOB NOT NULL PRIMARY KEY,
    leaf_index  INTEGER,
    leaf_sha256 BLOB NOT NULL,
    year        INTEGER NOT NULL
) STRICT;

-- Which process does the broker's own work: deadlines, sweeps. One row for each kind of work, locked by whoever
-- looks. The holder is a number that a process drew when it started; the term counts how often it changed.
CREATE TABLE lease (
    work       TEXT    NOT NULL PRIMARY KEY,
    holder     BLOB    NOT NULL,
    term       INTEGER NOT NULL,
    held_until INTEGER NOT NULL
) STRICT;

-- Each time these tables were put back from a backup. The door is shut while one has not been opened, and
-- inboxes go on so far ahead after each that no place from before can be ahead of them.
CREATE TABLE restoration (
    restored_at INTEGER NOT NULL PRIMARY KEY,
    backup_at   INTEGER NOT NULL,
    opened_at   INTEGER
) STRICT;

-- Desks that have sent again, since a restoration, all that they had stopped.
CREATE TABLE resent (
    restored_at INTEGER NOT NULL REFERENCES restoration (restored_at),
    caller_tag  BLOB    NOT NULL,
    resent_at   INTEGER NOT NULL,
    PRIMARY KEY (restored_at, caller_tag)
) STRICT;
