-- Organisations of which something that they had stopped came again after a restoration and could not be read: until the
-- joint officer decides, nothing of theirs is decided but stops. The portal's keeps the door shut as well.
CREATE TABLE unreadable_stop (
    organisation_tag BYTEA NOT NULL PRIMARY KEY,
    keeps_shut       BIGINT NOT NULL,
    found_at         BIGINT NOT NULL
);
