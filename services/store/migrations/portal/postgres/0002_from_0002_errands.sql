-- What a person asked for and the broker has not answered yet: a stop, an objection, a refusal. Sealed to the
-- portal, and gone with the answer.
CREATE TABLE errand (
    errand_id    BYTEA NOT NULL PRIMARY KEY,
    person_index BYTEA NOT NULL,
    -- 1: needs nobody but the broker. 2: needs the key holders too.
    stage        BIGINT NOT NULL,
    tried_at     BIGINT NOT NULL,
    sealed       BYTEA NOT NULL
);
CREATE INDEX errand_turn ON errand (stage, tried_at);
CREATE INDEX errand_person ON errand (person_index);

-- The papers of stops and refusals of late have a copy at the broker, until this moment.
ALTER TABLE line ADD COLUMN copied_until BIGINT;
CREATE INDEX line_copied ON line (copied_until) WHERE copied_until IS NOT NULL;

-- Rows (kind 1: block, 2: errand, 3: line; by their keys) whose copy at the broker may differ from what is here. The
-- turn counts how often one changed while its copy was on its way.
CREATE TABLE copy_due (
    copy_id BYTEA NOT NULL PRIMARY KEY,
    kind    BIGINT NOT NULL,
    name    BYTEA NOT NULL,
    turn    BIGINT NOT NULL
);

-- Each time these tables were put back from a backup. The portal does not open before it fetched its copies.
CREATE TABLE restoration (
    restored_at BIGINT NOT NULL PRIMARY KEY,
    backup_at   BIGINT NOT NULL,
    opened_at   BIGINT
);
