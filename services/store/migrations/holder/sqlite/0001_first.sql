-- A key holder's tables: its own sealed secrets, the contexts it helped to open, and quotas.
-- Nothing here is about a person.
CREATE TABLE domain_secret (
    domain     TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE context (
    label      TEXT    NOT NULL PRIMARY KEY,
    public_key BLOB    NOT NULL,
    closed_at  INTEGER NOT NULL
) STRICT;

-- Orders reserved from a day's quota, in blocks, so that a restart gives nobody a fresh quota.
CREATE TABLE quota (
    issuer   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    day      INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    PRIMARY KEY (issuer, kind, day)
) STRICT;

-- Orders may be a little ahead of this holder's clock. What such an order could still be repeated with
-- after a restart is bounded by this moment: orders that begin before it are refused then.
CREATE TABLE horizon (
    singleton  INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    not_before INTEGER NOT NULL
) STRICT;

CREATE TABLE directory_file (
    version     INTEGER NOT NULL PRIMARY KEY,
    content     BLOB    NOT NULL,
    signatures  BLOB    NOT NULL,
    imported_at INTEGER NOT NULL
) STRICT;
