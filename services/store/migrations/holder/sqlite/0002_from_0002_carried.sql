-- In what spans of time orders began that were carried out, one span for each run of this holder and for each stretch
-- between two jumps of its clock. An order that begins in a span of before is refused, because the memory of what was
-- carried out then is gone: however the clock was set in between.
CREATE TABLE carried (
    began INTEGER NOT NULL PRIMARY KEY,
    ended INTEGER NOT NULL
) STRICT;

-- Until now only orders that began ahead of the clock (30 s at most) had a moment stored for them, 5 s further on.
INSERT INTO carried (began, ended) SELECT not_before - 35000, not_before FROM horizon;
DROP TABLE horizon;
