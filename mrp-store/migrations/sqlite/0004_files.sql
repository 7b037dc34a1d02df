-- Answer files: who saved a version, and its number within the answer file.
ALTER TABLE answer_files ADD COLUMN saved_by TEXT NOT NULL DEFAULT '';
ALTER TABLE answer_file_versions ADD COLUMN saved_by TEXT NOT NULL DEFAULT '';
ALTER TABLE answer_file_versions ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
UPDATE answer_file_versions SET number = (
    SELECT COUNT(*) FROM answer_file_versions AS other
    WHERE other.answer_file_id = answer_file_versions.answer_file_id AND other.id <= answer_file_versions.id
);
DROP INDEX versions_by_answer_file;
CREATE UNIQUE INDEX versions_by_answer_file ON answer_file_versions (answer_file_id, number);

-- Uploads that may go on later. The one that is whole has its image, and goes with it.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    file_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    arch TEXT NOT NULL,
    description TEXT,
    known_good BOOLEAN NOT NULL,
    public BOOLEAN NOT NULL,
    digest TEXT,
    length BIGINT NOT NULL,
    received BIGINT NOT NULL,
    created BIGINT NOT NULL,
    advanced BIGINT NOT NULL,
    image_id BIGINT REFERENCES images (id) ON DELETE CASCADE
);
CREATE INDEX uploads_by_user ON uploads (user_id);
CREATE INDEX uploads_by_progress ON uploads (advanced);
CREATE INDEX uploads_by_image ON uploads (image_id);

-- What all servers on this database have in common.
CREATE TABLE site (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
