-- The vendor class (option 60) that a discovered client sent.
ALTER TABLE discovered ADD COLUMN vendor_class TEXT COLLATE "C";
-- Events are read by their kind.
CREATE INDEX events_by_kind ON events (kind, id);
