-- mr-provisioner's tables at its last migration, and the admin that its installation makes. The password is
-- "correct horse battery".
CREATE TABLE alembic_version (version_num text NOT NULL);
CREATE TABLE "user" (
    id serial PRIMARY KEY, username text NOT NULL UNIQUE, email text NOT NULL, ldap boolean, ssh_key text, password text,
    admin boolean
);
CREATE TABLE "BMC" (
    id serial PRIMARY KEY, ip text NOT NULL UNIQUE, name text NOT NULL UNIQUE, username text, password text,
    privilege_level text, bmc_type text
);
CREATE TABLE arch (id serial PRIMARY KEY, name text NOT NULL UNIQUE, description text);
CREATE TABLE image (
    id serial PRIMARY KEY, filename text NOT NULL UNIQUE, description text, file_type text NOT NULL,
    date timestamp NOT NULL, user_id integer REFERENCES "user" (id), known_good boolean NOT NULL,
    public boolean NOT NULL, arch_id integer NOT NULL REFERENCES arch (id)
);
CREATE TABLE subarch (
    id serial PRIMARY KEY, name text NOT NULL, description text,
    arch_id integer NOT NULL REFERENCES arch (id) ON DELETE CASCADE, bootloader_id integer REFERENCES image (id),
    efiboot boolean NOT NULL
);
CREATE TABLE preseed (
    id serial PRIMARY KEY, filename text NOT NULL UNIQUE, description text, file_type text NOT NULL, file_content text,
    date timestamp NOT NULL, user_id integer REFERENCES "user" (id), known_good boolean NOT NULL,
    public boolean NOT NULL
);
CREATE TABLE network (
    id serial PRIMARY KEY, subnet cidr NOT NULL UNIQUE, reserved_net cidr UNIQUE, static_net cidr UNIQUE,
    name text NOT NULL UNIQUE
);
CREATE TABLE machine (
    id serial PRIMARY KEY, name text NOT NULL UNIQUE, pdu text, pdu_port integer, serial text, serial_port integer,
    kernel_id integer REFERENCES image (id), kernel_opts text, preseed_id integer REFERENCES preseed (id),
    initrd_id integer REFERENCES image (id), netboot_enabled boolean, bmc_id integer REFERENCES "BMC" (id),
    bmc_info text, state text, arch_id integer NOT NULL REFERENCES arch (id),
    subarch_id integer REFERENCES subarch (id)
);
CREATE TABLE interface (
    id serial PRIMARY KEY, mac macaddr NOT NULL UNIQUE, identifier text, dhcpv4 boolean, static_ipv4 inet,
    machine_id integer REFERENCES machine (id) ON DELETE CASCADE,
    network_id integer REFERENCES network (id) ON DELETE SET NULL, reserved_ipv4 inet,
    UNIQUE (static_ipv4, network_id), UNIQUE (reserved_ipv4, network_id)
);
CREATE TABLE lease (id serial PRIMARY KEY, mac macaddr NOT NULL UNIQUE, ipv4 inet, last_seen timestamp NOT NULL);
CREATE TABLE "discoveredMAC" (
    id serial PRIMARY KEY, mac macaddr NOT NULL UNIQUE, info jsonb, last_seen timestamp NOT NULL
);
CREATE TABLE machine_users (
    id serial PRIMARY KEY, machine_id integer REFERENCES machine (id) ON DELETE CASCADE,
    user_id integer REFERENCES "user" (id), permissions integer, start_date timestamp NOT NULL, reason text NOT NULL,
    UNIQUE (machine_id, user_id)
);
CREATE TABLE machine_event (
    id serial PRIMARY KEY, machine_id integer REFERENCES machine (id) ON DELETE CASCADE,
    user_id integer REFERENCES "user" (id) ON DELETE SET NULL, username text, date timestamp NOT NULL,
    event_type integer NOT NULL, info jsonb
);
CREATE TABLE token (
    id serial PRIMARY KEY, user_id integer REFERENCES "user" (id), token text NOT NULL UNIQUE, "desc" text
);
CREATE TABLE console_token (
    id serial PRIMARY KEY, token text NOT NULL UNIQUE, created_at timestamp NOT NULL, command_response text,
    machine_id integer REFERENCES machine (id) ON DELETE CASCADE, user_id integer REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE TABLE audit_log (
    id serial PRIMARY KEY, machine_name text NOT NULL, user_name text NOT NULL, permissions integer,
    start_date timestamp NOT NULL, end_date timestamp NOT NULL
);
INSERT INTO "user" (username, email, ldap, ssh_key, password, admin) VALUES (
    'admin', 'admin@example.com', false, '',
    '$pbkdf2-sha256$29000$UEqptTYG4Ny7t7ZWirF2Tg$6fIRZrS1NJyDv9eYyYjc9iGq/IUQgKuAEC2wpAA2YTM', true
);
