-- What the recipient of a completed handover tells its sender, sealed, until it was fetched and a day is over, until it
-- is stopped, or until `gone_at`. A program of the version before would neither end nor forget it.
CREATE TABLE report (
    handover_id BLOB    NOT NULL PRIMARY KEY REFERENCES handover (handover_id),
    gone_at     INTEGER NOT NULL,
    wrapped_key BLOB    NOT NULL,
    sealed      BLOB    NOT NULL
) STRICT;
CREATE INDEX report_gone ON report (gone_at);
