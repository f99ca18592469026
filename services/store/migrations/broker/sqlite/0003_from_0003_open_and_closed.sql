-- An entry has an open part, which is what is hashed as a leaf, and a closed one, whose digest the open part holds.
-- Entries of before had one body for both. It was sealed under its column's name, so it does not open as a part: an
-- empty closed part says that an entry is such a one. Programs of before write no parts, so none runs beside this.
ALTER TABLE audit_entry RENAME COLUMN body TO open_part;
ALTER TABLE audit_entry ADD COLUMN closed_part BLOB NOT NULL DEFAULT x'';

-- Findings are few among an organisation's entries: its officer finds them without reading the others, by a tag that
-- the findings of one sender, or of one recipient, share.
ALTER TABLE audit_entry ADD COLUMN sender_finding_tag BLOB;
ALTER TABLE audit_entry ADD COLUMN recipient_finding_tag BLOB;
CREATE INDEX audit_entry_sender_finding ON audit_entry (sender_finding_tag, entry_id) WHERE sender_finding_tag IS NOT NULL;
CREATE INDEX audit_entry_recipient_finding ON audit_entry (recipient_finding_tag, entry_id) WHERE recipient_finding_tag IS NOT NULL;
