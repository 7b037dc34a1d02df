//! The tables of mr-provisioner at its last migration. Types of PostgreSQL's own are read as text.

use mrp_core::import::{
    Legacy, LegacyAnswerFile, LegacyArch, LegacyAssignment, LegacyBmc, LegacyDiscovered, LegacyEvent,
    LegacyImage, LegacyInterface, LegacyLease, LegacyMachine, LegacyNetwork, LegacySubarch, LegacyToken,
    LegacyUser,
};
use mrp_core::secret::Secret;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::{get, time};

/// A table, and why it could not be read.
type Failed = (&'static str, sqlx::Error);

/// Tables that mrp has nothing for.
const OTHERS: [(&str, &str); 2] = [
    ("audit_log", "SELECT COUNT(*) FROM audit_log"),
    ("console_token", "SELECT COUNT(*) FROM console_token"),
];

/// Reads all tables. Local times are those of `zone`; times of leases and discovered clients are UTC.
pub(super) async fn read(connection: &mut PgConnection, zone: &str) -> Result<Legacy, Failed> {
    let mut legacy = Legacy {
        users: table(connection, zone, "user", USERS, user).await?,
        tokens: table(connection, zone, "token", TOKENS, token).await?,
        archs: table(connection, zone, "arch", ARCHS, arch).await?,
        subarchs: table(connection, zone, "subarch", SUBARCHS, subarch).await?,
        images: table(connection, zone, "image", IMAGES, image).await?,
        answer_files: table(connection, zone, "preseed", ANSWER_FILES, answer_file).await?,
        bmcs: table(connection, zone, "BMC", BMCS, bmc).await?,
        networks: table(connection, zone, "network", NETWORKS, network).await?,
        machines: table(connection, zone, "machine", MACHINES, machine).await?,
        interfaces: table(connection, zone, "interface", INTERFACES, interface).await?,
        assignments: table(connection, zone, "machine_users", ASSIGNMENTS, assignment).await?,
        leases: table(connection, zone, "lease", LEASES, lease).await?,
        discovered: table(connection, zone, "discoveredMAC", DISCOVERED, discovered).await?,
        events: table(connection, zone, "machine_event", EVENTS, event).await?,
        others: Vec::new(),
    };
    for (name, count) in OTHERS {
        let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.map_err(|e| (name, e))?;
        if rows > 0 {
            legacy.others.push((name.to_owned(), rows.unsigned_abs()));
        }
    }
    Ok(legacy)
}

/// Each text has the time zone as `$1`, whether it needs it or not.
async fn table<T>(
    connection: &mut PgConnection,
    zone: &str,
    name: &'static str,
    text: &'static str,
    read: fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, Failed> {
    let rows = sqlx::query(text).bind(zone).fetch_all(connection).await.map_err(|error| (name, error))?;
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| (name, error))
}

const USERS: &str = r#"SELECT id::bigint, username, email, ldap, ssh_key, password, admin
    FROM "user" WHERE $1::text IS NOT NULL ORDER BY id"#;

fn user(row: &PgRow) -> Result<LegacyUser, sqlx::Error> {
    Ok(LegacyUser {
        id: get(row, "id")?,
        name: get(row, "username")?,
        email: get(row, "email")?,
        ldap: get(row, "ldap")?,
        ssh_key: get(row, "ssh_key")?,
        password: get::<Option<String>>(row, "password")?.map(Secret::new),
        admin: get(row, "admin")?,
    })
}

const TOKENS: &str = r#"SELECT id::bigint, user_id::bigint, token, "desc"
    FROM token WHERE $1::text IS NOT NULL ORDER BY id"#;

fn token(row: &PgRow) -> Result<LegacyToken, sqlx::Error> {
    Ok(LegacyToken {
        id: get(row, "id")?,
        user: get(row, "user_id")?,
        token: Secret::new(get::<String>(row, "token")?),
        description: get(row, "desc")?,
    })
}

const ARCHS: &str = "SELECT id::bigint, name, description FROM arch WHERE $1::text IS NOT NULL ORDER BY id";

fn arch(row: &PgRow) -> Result<LegacyArch, sqlx::Error> {
    Ok(LegacyArch { id: get(row, "id")?, name: get(row, "name")?, description: get(row, "description")? })
}

const SUBARCHS: &str = "SELECT id::bigint, name, description, arch_id::bigint, bootloader_id::bigint,
    COALESCE(efiboot, false) AS efiboot FROM subarch WHERE $1::text IS NOT NULL ORDER BY id";

fn subarch(row: &PgRow) -> Result<LegacySubarch, sqlx::Error> {
    Ok(LegacySubarch {
        id: get(row, "id")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        arch: get(row, "arch_id")?,
        bootloader: get(row, "bootloader_id")?,
        efi_boot: get(row, "efiboot")?,
    })
}

// A time of infinity has no milliseconds.
const IMAGES: &str = "SELECT id::bigint, filename, description, file_type, user_id::bigint, arch_id::bigint,
    CASE WHEN isfinite(date) THEN FLOOR(EXTRACT(EPOCH FROM date AT TIME ZONE $1) * 1000)::bigint ELSE 0 END AS date,
    COALESCE(known_good, false) AS known_good, COALESCE(public, false) AS public FROM image ORDER BY id";

fn image(row: &PgRow) -> Result<LegacyImage, sqlx::Error> {
    Ok(LegacyImage {
        id: get(row, "id")?,
        name: get(row, "filename")?,
        description: get(row, "description")?,
        kind: get(row, "file_type")?,
        uploaded: time(row, "date")?,
        owner: get(row, "user_id")?,
        known_good: get(row, "known_good")?,
        public: get(row, "public")?,
        arch: get(row, "arch_id")?,
    })
}

const ANSWER_FILES: &str = "SELECT id::bigint, filename, description, file_type, file_content, user_id::bigint,
    CASE WHEN isfinite(date) THEN FLOOR(EXTRACT(EPOCH FROM date AT TIME ZONE $1) * 1000)::bigint ELSE 0 END AS date,
    COALESCE(known_good, false) AS known_good, COALESCE(public, false) AS public FROM preseed ORDER BY id";

fn answer_file(row: &PgRow) -> Result<LegacyAnswerFile, sqlx::Error> {
    Ok(LegacyAnswerFile {
        id: get(row, "id")?,
        name: get(row, "filename")?,
        description: get(row, "description")?,
        kind: get(row, "file_type")?,
        content: get(row, "file_content")?,
        saved: time(row, "date")?,
        owner: get(row, "user_id")?,
        known_good: get(row, "known_good")?,
        public: get(row, "public")?,
    })
}

const BMCS: &str = r#"SELECT id::bigint, name, ip, username, password, privilege_level, bmc_type
    FROM "BMC" WHERE $1::text IS NOT NULL ORDER BY id"#;

fn bmc(row: &PgRow) -> Result<LegacyBmc, sqlx::Error> {
    Ok(LegacyBmc {
        id: get(row, "id")?,
        name: get(row, "name")?,
        address: get(row, "ip")?,
        username: get(row, "username")?,
        password: get::<Option<String>>(row, "password")?.map(Secret::new),
        privilege: get(row, "privilege_level")?,
        driver: get(row, "bmc_type")?,
    })
}

const NETWORKS: &str = "SELECT id::bigint, name, subnet::text AS subnet, reserved_net::text AS reserved_net,
    static_net::text AS static_net FROM network WHERE $1::text IS NOT NULL ORDER BY id";

fn network(row: &PgRow) -> Result<LegacyNetwork, sqlx::Error> {
    Ok(LegacyNetwork {
        id: get(row, "id")?,
        name: get(row, "name")?,
        subnet: get(row, "subnet")?,
        reserved_net: get(row, "reserved_net")?,
        static_net: get(row, "static_net")?,
    })
}

const MACHINES: &str = "SELECT id::bigint, name, pdu, pdu_port::text AS pdu_port, serial,
    serial_port::text AS serial_port, kernel_id::bigint, kernel_opts, preseed_id::bigint, initrd_id::bigint,
    netboot_enabled, bmc_id::bigint, bmc_info, state, arch_id::bigint, subarch_id::bigint
    FROM machine WHERE $1::text IS NOT NULL ORDER BY id";

fn machine(row: &PgRow) -> Result<LegacyMachine, sqlx::Error> {
    let mut others = Vec::new();
    for column in ["pdu", "pdu_port", "serial", "serial_port"] {
        if let Some(value) = get::<Option<String>>(row, column)?.filter(|value| !value.is_empty()) {
            others.push((column, value));
        }
    }
    Ok(LegacyMachine {
        id: get(row, "id")?,
        name: get(row, "name")?,
        others,
        kernel: get(row, "kernel_id")?,
        initrd: get(row, "initrd_id")?,
        kernel_options: get(row, "kernel_opts")?,
        answer_file: get(row, "preseed_id")?,
        netboot: get(row, "netboot_enabled")?,
        bmc: get(row, "bmc_id")?,
        bmc_info: get(row, "bmc_info")?,
        state: get(row, "state")?,
        arch: get(row, "arch_id")?,
        subarch: get(row, "subarch_id")?,
    })
}

const INTERFACES: &str = "SELECT id::bigint, mac::text AS mac, identifier, host(static_ipv4) AS static_ipv4,
    host(reserved_ipv4) AS reserved_ipv4, machine_id::bigint, network_id::bigint
    FROM interface WHERE $1::text IS NOT NULL ORDER BY id";

fn interface(row: &PgRow) -> Result<LegacyInterface, sqlx::Error> {
    Ok(LegacyInterface {
        id: get(row, "id")?,
        mac: get(row, "mac")?,
        identifier: get(row, "identifier")?,
        static_ipv4: get(row, "static_ipv4")?,
        reserved_ipv4: get(row, "reserved_ipv4")?,
        machine: get(row, "machine_id")?,
        network: get(row, "network_id")?,
    })
}

const ASSIGNMENTS: &str = "SELECT id::bigint, machine_id::bigint, user_id::bigint, COALESCE(reason, '') AS reason,
    CASE WHEN isfinite(start_date) THEN FLOOR(EXTRACT(EPOCH FROM start_date AT TIME ZONE $1) * 1000)::bigint ELSE 0 END
    AS start_date FROM machine_users ORDER BY id";

fn assignment(row: &PgRow) -> Result<LegacyAssignment, sqlx::Error> {
    Ok(LegacyAssignment {
        id: get(row, "id")?,
        machine: get(row, "machine_id")?,
        user: get(row, "user_id")?,
        since: time(row, "start_date")?,
        reason: get(row, "reason")?,
    })
}

const LEASES: &str = "SELECT id::bigint, mac::text AS mac, host(ipv4) AS ipv4,
    CASE WHEN isfinite(last_seen) THEN FLOOR(EXTRACT(EPOCH FROM last_seen AT TIME ZONE 'UTC') * 1000)::bigint ELSE 0 END
    AS last_seen FROM lease WHERE $1::text IS NOT NULL ORDER BY id";

fn lease(row: &PgRow) -> Result<LegacyLease, sqlx::Error> {
    Ok(LegacyLease {
        id: get(row, "id")?,
        mac: get(row, "mac")?,
        ipv4: get(row, "ipv4")?,
        last_seen: time(row, "last_seen")?,
    })
}

const DISCOVERED: &str = r#"SELECT id::bigint, mac::text AS mac, info::text AS info,
    CASE WHEN isfinite(last_seen) THEN FLOOR(EXTRACT(EPOCH FROM last_seen AT TIME ZONE 'UTC') * 1000)::bigint ELSE 0 END
    AS last_seen FROM "discoveredMAC" WHERE $1::text IS NOT NULL ORDER BY id"#;

fn discovered(row: &PgRow) -> Result<LegacyDiscovered, sqlx::Error> {
    Ok(LegacyDiscovered {
        id: get(row, "id")?,
        mac: get(row, "mac")?,
        info: json(row, "info")?,
        last_seen: time(row, "last_seen")?,
    })
}

const EVENTS: &str = r#"SELECT e.id::bigint, e.machine_id::bigint, COALESCE(e.username, u.username) AS username,
    CASE WHEN isfinite(e.date) THEN FLOOR(EXTRACT(EPOCH FROM e.date AT TIME ZONE $1) * 1000)::bigint ELSE 0 END AS date,
    e.event_type::bigint, e.info::text AS info
    FROM machine_event e LEFT JOIN "user" u ON u.id = e.user_id ORDER BY e.id"#;

fn event(row: &PgRow) -> Result<LegacyEvent, sqlx::Error> {
    Ok(LegacyEvent {
        id: get(row, "id")?,
        machine: get(row, "machine_id")?,
        user: get(row, "username")?,
        at: time(row, "date")?,
        kind: get(row, "event_type")?,
        info: json(row, "info")?,
    })
}

/// JSON, or null where it is none that this program reads.
fn json(row: &PgRow, column: &'static str) -> Result<Value, sqlx::Error> {
    let text: Option<String> = get(row, column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
