-- What a person asked for and the broker has not answered yet: a stop, an objection, a refusal. Sealed to the
-- portal, and gone with the answer.
CREATE TABLE errand (
    errand_id    BLOB    NOT NULL PRIMARY KEY,
    person_index BLOB    NOT NULL,
    -- 1: needs nobody but the broker. 2: needs the key holders too.
    stage        INTEGER NOT NULL,
    tried_at     INTEGER NOT NULL,
    sealed       BLOB    NOT NULL
) STRICT;
CREATE INDEX errand_turn ON errand (stage, tried_at);
CREATE INDEX errand_person ON errand (person_index);

-- The papers of stops and refusals of late have a copy at the broker, until this moment.
ALTER TABLE line ADD COLUMN copied_until INTEGER;
CREATE INDEX line_copied ON line (copied_until) WHERE copied_until IS NOT NULL;

-- Rows (kind 1: block, 2: errand, 3: line; by their keys) whose copy at the broker may differ from what is here. The
-- turn counts how often one changed while its copy was on its way.
CREATE TABLE copy_due (
    copy_id BLOB    NOT NULL PRIMARY KEY,
    kind    INTEGER NOT NULL,
    name    BLOB    NOT NULL,
    turn    INTEGER NOT NULL
) STRICT;

-- Each time these tables were put back from a backup. The portal does not open before it fetched its copies.
CREATE TABLE restoration (
    restored_at INTEGER NOT NULL PRIMARY KEY,
    backup_at   INTEGER NOT NULL,
    opened_at   INTEGER
) STRICT;
