-- A key holder's tables: its own sealed secrets, the contexts it helped to open, and quotas.
-- Nothing here is about a person.
CREATE TABLE domain_secret (
    domain     TEXT    NOT NULL PRIMARY KEY,
    sealed     BYTEA   NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE TABLE context (
    label      TEXT    NOT NULL PRIMARY KEY,
    public_key BYTEA   NOT NULL,
    closed_at  BIGINT  NOT NULL
);

-- Orders reserved from a day's quota, in blocks, so that a restart gives nobody a fresh quota.
CREATE TABLE quota (
    issuer   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    day      BIGINT  NOT NULL,
    reserved BIGINT  NOT NULL,
    PRIMARY KEY (issuer, kind, day)
);

-- Orders may be a little ahead of this holder's clock. What such an order could still be repeated with
-- after a restart is bounded by this moment: orders that begin before it are refused then.
CREATE TABLE horizon (
    singleton  BIGINT  NOT NULL PRIMARY KEY CHECK (singleton = 1),
    not_before BIGINT  NOT NULL
);

CREATE TABLE directory_file (
    version     BIGINT  NOT NULL PRIMARY KEY,
    content     BYTEA   NOT NULL,
    signatures  BYTEA   NOT NULL,
    imported_at BIGINT  NOT NULL
);
