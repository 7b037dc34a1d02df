-- Times are milliseconds since 1970 UTC. Ids are never used again (AUTOINCREMENT). `revision` grows by one with each change.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    admin BOOLEAN NOT NULL,
    password_hash TEXT NOT NULL,
    ssh_keys TEXT NOT NULL
);

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    description TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    last_used BIGINT
);
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE archs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL
);

CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    file_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    arch_id BIGINT NOT NULL REFERENCES archs (id),
    owner_id BIGINT REFERENCES users (id) ON DELETE SET NULL,
    description TEXT,
    known_good BOOLEAN NOT NULL,
    public BOOLEAN NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    uploaded BIGINT NOT NULL
);
CREATE INDEX images_by_digest ON images (digest);
CREATE INDEX images_by_file_name ON images (file_name);
CREATE INDEX images_by_arch ON images (arch_id);
CREATE INDEX images_by_owner ON images (owner_id);

CREATE TABLE subarchs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    arch_id BIGINT NOT NULL REFERENCES archs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    bootloader_id BIGINT REFERENCES images (id),
    efi_boot BOOLEAN NOT NULL,
    UNIQUE (arch_id, name)
);
CREATE INDEX subarchs_by_bootloader ON subarchs (bootloader_id);

CREATE TABLE bmcs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    username TEXT NOT NULL,
    sealed_password BLOB NOT NULL,
    privilege TEXT NOT NULL,
    options TEXT NOT NULL
);

CREATE TABLE networks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    subnet TEXT NOT NULL UNIQUE,
    static_net TEXT,
    reserved_net TEXT,
    server_url TEXT,
    trust_path_mac BOOLEAN NOT NULL
);

CREATE TABLE answer_files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    description TEXT,
    content TEXT,
    owner_id BIGINT REFERENCES users (id) ON DELETE SET NULL,
    known_good BOOLEAN NOT NULL,
    public BOOLEAN NOT NULL,
    saved BIGINT NOT NULL
);
CREATE INDEX answer_files_by_owner ON answer_files (owner_id);

CREATE TABLE answer_file_versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    answer_file_id BIGINT NOT NULL REFERENCES answer_files (id) ON DELETE CASCADE,
    content TEXT,
    saved BIGINT NOT NULL
);
CREATE INDEX versions_by_answer_file ON answer_file_versions (answer_file_id);

CREATE TABLE machines (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    arch_id BIGINT NOT NULL REFERENCES archs (id),
    subarch_id BIGINT REFERENCES subarchs (id),
    bmc_id BIGINT REFERENCES bmcs (id),
    bmc_info TEXT NOT NULL,
    kernel_id BIGINT REFERENCES images (id),
    initrd_id BIGINT REFERENCES images (id),
    kernel_options TEXT,
    answer_file_id BIGINT REFERENCES answer_files (id),
    -- 'off', 'hand', or 'run' with the run's id.
    netboot TEXT NOT NULL,
    netboot_run_id BIGINT,
    boot_epoch BIGINT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX machines_by_arch ON machines (arch_id);
CREATE INDEX machines_by_subarch ON machines (subarch_id);
CREATE INDEX machines_by_bmc ON machines (bmc_id);
CREATE INDEX machines_by_kernel ON machines (kernel_id);
CREATE INDEX machines_by_initrd ON machines (initrd_id);
CREATE INDEX machines_by_answer_file ON machines (answer_file_id);

CREATE TABLE interfaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    mac TEXT NOT NULL UNIQUE,
    identifier TEXT,
    network_id BIGINT REFERENCES networks (id),
    -- 'dynamic', 'dynamic-reserved' or 'static'; the last two with an address.
    addressing TEXT NOT NULL,
    ipv4 TEXT,
    UNIQUE (network_id, ipv4)
);
CREATE INDEX interfaces_by_machine ON interfaces (machine_id);
CREATE INDEX interfaces_by_address ON interfaces (ipv4);

CREATE TABLE leases (
    mac TEXT PRIMARY KEY,
    ipv4 TEXT NOT NULL,
    last_seen BIGINT NOT NULL
);
CREATE INDEX leases_by_address ON leases (ipv4, last_seen);

CREATE TABLE discovered (
    mac TEXT PRIMARY KEY,
    hostname TEXT,
    client_arch BIGINT,
    last_seen BIGINT NOT NULL
);

CREATE TABLE assignments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    UNIQUE (machine_id, user_id)
);
CREATE INDEX assignments_by_user ON assignments (user_id);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision BIGINT NOT NULL,
    machine_id BIGINT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    user_id BIGINT REFERENCES users (id) ON DELETE SET NULL,
    started_by TEXT NOT NULL,
    status TEXT NOT NULL,
    verdict TEXT,
    started BIGINT NOT NULL,
    ended BIGINT,
    advanced BIGINT NOT NULL,
    -- JSON.
    plan TEXT NOT NULL,
    stages TEXT NOT NULL,
    deadline TEXT,
    boot TEXT NOT NULL
);
CREATE UNIQUE INDEX one_active_run_of_a_machine ON runs (machine_id) WHERE status = 'active';
CREATE INDEX runs_by_machine ON runs (machine_id);
CREATE INDEX runs_by_user ON runs (user_id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    machine_id BIGINT REFERENCES machines (id) ON DELETE CASCADE,
    run_id BIGINT REFERENCES runs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    text TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX events_by_machine ON events (machine_id, id);
CREATE INDEX events_by_run ON events (run_id, id);
CREATE INDEX events_by_time ON events (at);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    name TEXT NOT NULL,
    changes TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
