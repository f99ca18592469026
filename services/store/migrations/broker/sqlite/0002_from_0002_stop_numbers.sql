-- A stop is one small transaction: a number on the person's row that only rises. What was made under another
-- number has ended, whatever its own row still says; keys, inboxes and notices follow.

-- In the order in which they are walked.
DROP INDEX handover_subject;
DROP INDEX handover_opened;
DROP INDEX handover_group;
CREATE INDEX handover_of_subject ON handover (subject_index, handover_id);
CREATE INDEX handover_of_group ON handover (group_tag, handover_id) WHERE group_tag IS NOT NULL;

-- The other name keeps a program of the version before from deciding on these tables: it knows no stop number.
ALTER TABLE relation_subject RENAME COLUMN consent_id TO standing_consent_id;
ALTER TABLE relation_subject ADD COLUMN stop_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE handover ADD COLUMN stop_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE question ADD COLUMN stop_number INTEGER NOT NULL DEFAULT 0;

-- Of a group at most one is released: the number rises with each that is, and the others of lower numbers
-- have ended.
ALTER TABLE handover ADD COLUMN group_number INTEGER NOT NULL DEFAULT 0;
CREATE TABLE handover_group (
    group_tag    BLOB NOT NULL PRIMARY KEY,
    group_number INTEGER NOT NULL,
    released     BLOB NOT NULL
) STRICT;

-- What follows from a stop, an objection or a release, and is not done yet: gone when it is. `about` is a
-- person's row or a group; `behind` the last handover that was dealt with; `at_once` one that was dealt with in
-- the stop's own transaction.
CREATE TABLE consequence (
    about       BLOB NOT NULL,
    number      INTEGER NOT NULL,
    cause       INTEGER NOT NULL,
    ends_below  INTEGER NOT NULL,
    happened_at INTEGER NOT NULL,
    behind      BLOB NOT NULL,
    at_once     BLOB,
    PRIMARY KEY (about, number)
) STRICT;
CREATE INDEX consequence_age ON consequence (happened_at);

-- How many lines to the person and to inboxes the relation's sender and its recipient have caused on a day (days since
-- 1970 in UTC), how many more were refused, and what the person is told of those, sealed.
ALTER TABLE relation_subject ADD COLUMN lines_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relation_subject ADD COLUMN sender_lines INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relation_subject ADD COLUMN recipient_lines INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relation_subject ADD COLUMN folded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relation_subject ADD COLUMN folded_line BLOB;
CREATE INDEX relation_subject_folded ON relation_subject (lines_day) WHERE folded > 0;
