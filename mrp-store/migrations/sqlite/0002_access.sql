-- Tokens of before may everything that their owner may.
ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT 'admin';

-- By which token somebody acted; the entry outlives it.
ALTER TABLE audit ADD COLUMN token_id BIGINT;
ALTER TABLE audit ADD COLUMN token TEXT;
CREATE INDEX audit_by_object ON audit (object, name, id);
CREATE INDEX audit_by_actor ON audit (actor, id);

-- Attempts to log in, by name and by address.
CREATE TABLE logins (
    subject TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    under_way BIGINT NOT NULL,
    last BIGINT NOT NULL
);
CREATE INDEX logins_by_time ON logins (last);

-- One row: what the server's key file has to sign alike.
CREATE TABLE server_key (
    id BIGINT PRIMARY KEY,
    check_value TEXT NOT NULL
);

CREATE INDEX runs_by_end ON runs (ended);
CREATE INDEX images_by_time ON images (uploaded);
CREATE INDEX tokens_by_expiry ON tokens (expires);
