-- What has a copy at the broker is compared with what lies there every few minutes, page by page, by the lines' ids:
-- without this every line of the portal is read for the few that have one.
CREATE INDEX line_copies ON line (line_id) WHERE copied_until IS NOT NULL;
