-- What the portal keeps here for the day on which it is put back from a backup: sealed by it, in fixed sizes, under
-- names that only it can make.
CREATE TABLE portal_copy (
    owner_tag BYTEA NOT NULL,
    copy_id   BYTEA NOT NULL,
    sealed    BYTEA NOT NULL,
    PRIMARY KEY (owner_tag, copy_id)
);

-- How many there are, so that the bound on them needs no counting.
CREATE TABLE portal_copies (
    owner_tag BYTEA NOT NULL PRIMARY KEY,
    copies    BIGINT NOT NULL
);
