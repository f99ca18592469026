-- The portal's tables. No number, no pseudonym, no name and no organisation in clear: persons are an HMAC
-- of a value that only their own login gives again, and what happened is sealed to them.

-- One exchange: to whom it belongs, and the key to which its lines are sealed. The key is the public half
-- and opens nothing. The exchange's id is hashed with a key of the portal: both partners know the id.
CREATE TABLE exchange (
    exchange_index BYTEA   NOT NULL PRIMARY KEY,
    person_index   BYTEA   NOT NULL,
    sealing_key    BYTEA   NOT NULL,
    created_at     BIGINT  NOT NULL
);

-- What happened, and consents: kind 1 and 2.
CREATE TABLE line (
    line_id        BYTEA   NOT NULL PRIMARY KEY,
    exchange_index BYTEA   NOT NULL REFERENCES exchange (exchange_index),
    person_index   BYTEA   NOT NULL,
    kind           BIGINT  NOT NULL,
    sealed         BYTEA   NOT NULL,
    created_at     BIGINT  NOT NULL
);
CREATE INDEX line_age ON line (created_at);
CREATE INDEX line_exchange ON line (exchange_index);
CREATE INDEX exchange_age ON exchange (created_at);
CREATE INDEX line_person ON line (person_index, kind, created_at);

-- Organisations that a person blocked. The tag holds the person too, so that tags of two persons do not
-- join.
CREATE TABLE block (
    person_index BYTEA NOT NULL,
    oin_tag      BYTEA NOT NULL,
    PRIMARY KEY (person_index, oin_tag)
);
