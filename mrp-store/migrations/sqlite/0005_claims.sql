-- What one server of several has for itself until a time, unless it renews it.
CREATE TABLE claims (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    url TEXT NOT NULL,
    until BIGINT NOT NULL
);
CREATE INDEX claims_by_holder ON claims (holder);
