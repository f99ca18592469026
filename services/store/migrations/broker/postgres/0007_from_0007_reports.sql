-- What the recipient of a completed handover tells its sender, sealed, until it was fetched and a day is over, until it
-- is stopped, or until `gone_at`. A program of the version before would neither end nor forget it.
CREATE TABLE report (
    handover_id BYTEA  NOT NULL PRIMARY KEY REFERENCES handover (handover_id),
    gone_at     BIGINT NOT NULL,
    wrapped_key BYTEA  NOT NULL,
    sealed      BYTEA  NOT NULL
);
CREATE INDEX report_gone ON report (gone_at);
