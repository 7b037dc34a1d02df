-- Free machines are found without a look at who holds the others.
ALTER TABLE machines ADD COLUMN holders BIGINT NOT NULL DEFAULT 0;
UPDATE machines SET holders = (SELECT COUNT(*) FROM assignments a WHERE a.machine_id = machines.id);
CREATE INDEX machines_by_holders ON machines (holders, id);

CREATE TRIGGER assignment_begins AFTER INSERT ON assignments BEGIN
    UPDATE machines SET holders = holders + 1 WHERE id = NEW.machine_id;
END;
CREATE TRIGGER assignment_ends AFTER DELETE ON assignments BEGIN
    UPDATE machines SET holders = holders - 1 WHERE id = OLD.machine_id;
END;
CREATE TRIGGER assignment_moves AFTER UPDATE OF machine_id ON assignments
WHEN OLD.machine_id <> NEW.machine_id BEGIN
    UPDATE machines SET holders = holders - 1 WHERE id = OLD.machine_id;
    UPDATE machines SET holders = holders + 1 WHERE id = NEW.machine_id;
END;

ALTER TABLE assignments ADD COLUMN until BIGINT;
CREATE INDEX assignments_by_until ON assignments (until) WHERE until IS NOT NULL;

CREATE TABLE machine_tags (
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (machine_id, tag)
);
CREATE INDEX tags_by_name ON machine_tags (tag);

-- As the BMC told it last.
CREATE TABLE machine_power (
    machine_id INTEGER PRIMARY KEY REFERENCES machines (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE console_tickets (
    hash TEXT PRIMARY KEY,
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires BIGINT NOT NULL
);
CREATE INDEX tickets_by_machine ON console_tickets (machine_id, user_id);
CREATE INDEX tickets_by_user ON console_tickets (user_id);
CREATE INDEX tickets_by_expiry ON console_tickets (expires);
