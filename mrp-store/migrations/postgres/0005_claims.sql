-- What one server of several has for itself until a time, unless it renews it.
CREATE TABLE claims (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL
);
CREATE INDEX claims_by_holder ON claims (holder);
