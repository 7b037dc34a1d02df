-- Which rows an import has brought: what it is, its id at the source, its id here, and the revision that was left.
CREATE TABLE imported (
    noun TEXT NOT NULL,
    source_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (noun, source_id)
);
