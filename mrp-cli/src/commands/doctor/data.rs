//! Data folder, key, database, clock.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use indicatif::HumanBytes;
use mrp_core::id::Timestamp;
use mrp_core::store::{EventFilter, Store};
use mrp_store::PostgresState;

use super::Finding;
use crate::config::Config;
use crate::wiring::{self, Files};

/// Images of a few installers.
const ENOUGH: u64 = 5 << 30;
/// The database alone still fits.
const TOO_LITTLE: u64 = 200 << 20;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let files = Files::of(config);
    let mut findings = vec![folder("data folder", "server.data_dir", files.folder())];
    if config.images.dir.is_some() {
        findings.push(folder("image folder", "images.dir", files.images()));
    }
    if files.key().exists() {
        findings.push(key(config, &files.key()));
    }
    if let Err(error) = wiring::tls(config) {
        let advice =
            "the certificate's PEM file and its key must be readable by this user and belong together";
        findings.push(Finding::problem("TLS", format!("{error:#}"), advice));
    }
    findings
}

fn folder(about: &str, key: &str, folder: &Path) -> Finding {
    let variable = key.replace('.', "__").to_uppercase();
    let advice = format!("set {key} (MRP_{variable}) to a folder that this user may write");
    let shown = folder.display();
    // What is not there yet is made at the first start, in the nearest folder that is there.
    let there = folder.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"));
    let probe = there.join(format!(".mrp-doctor-{}", std::process::id()));
    if let Err(error) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe) {
        return Finding::problem(about, format!("{shown} cannot be written: {error}"), advice);
    }
    let _ = fs::remove_file(&probe);
    let Ok(space) = rustix::fs::statvfs(there) else {
        return Finding::warning(
            about,
            format!("{shown}: its free space cannot be read"),
            "look at it with df",
        );
    };
    let free = space.f_bavail * space.f_frsize;
    let text = format!(
        "{shown}, {} free{}",
        HumanBytes(free),
        if folder.exists() { "" } else { ", made at the first start" }
    );
    match free {
        ..TOO_LITTLE => Finding::problem(about, text, "make room: uploads and soon the database will fail"),
        TOO_LITTLE..ENOUGH => Finding::warning(about, text, "make room before you upload images"),
        ENOUGH.. => Finding::ok(about, text),
    }
}

fn key(config: &Config, path: &Path) -> Finding {
    let shown = path.display();
    if let Err(error) = wiring::existing_key(config) {
        return Finding::problem("key file", format!("{error:#}"), "without it no stored BMC password opens");
    }
    match fs::metadata(path).map(|metadata| metadata.mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => Finding::ok("key file", format!("{shown}, mode {mode:04o}")),
        Ok(mode) => {
            let text = format!("{shown} can be read by others (mode {mode:04o})");
            Finding::problem("key file", text, format!("chmod 600 {shown}"))
        }
        Err(error) => {
            Finding::problem("key file", format!("{shown}: {error}"), "make it readable by this user")
        }
    }
}

pub(super) async fn open(config: &Config, findings: &mut Vec<Finding>) -> Option<Arc<dyn Store>> {
    match wiring::examine_postgres(config).await {
        Ok(None) => open_sqlite(config, findings).await,
        Ok(Some(state)) => {
            let (PostgresState { name, version, .. }, known) = (&state, state.known_schema);
            let schema = match state.schema {
                None => "empty, its tables are made at the first start".to_owned(),
                Some(older) if older < known => {
                    format!("schema {older}, brought up to {known} by the next start")
                }
                Some(schema) => format!("schema {schema}"),
            };
            findings.push(Finding::ok("database", format!("{name} (version {version}): {schema}")));
            if state.schema != Some(known) {
                return None;
            }
            wiring::open_store(config).await.ok()
        }
        Err(error) => {
            let advice = "see database.url and database.password_file, and whether psql reaches it from here";
            findings.push(Finding::problem("database", format!("{error:#}"), advice));
            None
        }
    }
}

async fn open_sqlite(config: &Config, findings: &mut Vec<Finding>) -> Option<Arc<dyn Store>> {
    let path = Files::of(config).database();
    if !path.exists() {
        findings.push(Finding::ok("database", format!("{} is made at the first start", path.display())));
        return None;
    }
    match wiring::open_store(config).await {
        Ok(store) => {
            findings.push(Finding::ok("database", format!("{} opens", path.display())));
            Some(store)
        }
        Err(error) => {
            let advice = "restore it from a backup, or give it to the user that mrp runs as";
            findings.push(Finding::problem("database", format!("{error:#}"), advice));
            None
        }
    }
}

/// A clock that went back makes tokens, deadlines and the order of events wrong.
pub(super) async fn clock(store: &dyn Store) -> Option<Finding> {
    let now = Timestamp::from(std::time::SystemTime::now());
    let newest = store.events(&EventFilter { last: 1, ..EventFilter::default() }).await.ok()?;
    let newest = newest.last().map(|event| event.at);
    Some(match newest {
        Some(newest) if newest > now => {
            let text = format!("it is {now}, but there is an event of {newest}");
            Finding::problem("clock", text, "set the clock: timedatectl set-ntp true")
        }
        _ => Finding::ok("clock", now.to_string()),
    })
}

/// A key file of another database opens no BMC password.
pub(super) async fn key_of(config: &Config, store: &dyn Store) -> Option<Finding> {
    let key = wiring::existing_key(config).ok()??;
    let noted = store.key_check().await.ok()??;
    (key.check_value() != noted).then(|| {
        Finding::problem(
            "key file",
            format!("{} is not the one of this database", Files::of(config).key().display()),
            "restore it from a backup; after a `mrp key rotate` that was cut off, start mrp once",
        )
    })
}

/// What is kept, and by which settings it is limited.
pub(super) async fn holdings(store: &dyn Store) -> Finding {
    let held = match store.holdings().await {
        Ok(held) => held,
        Err(error) => {
            return Finding::problem("kept", format!("cannot be counted: {error}"), "look at the database");
        }
    };
    let rows: Vec<String> =
        held.rows.iter().map(|(what, rows)| format!("{rows} {}", what.replace('_', " "))).collect();
    let (database, images) = (HumanBytes(held.database_bytes), HumanBytes(held.image_bytes));
    Finding::ok(
        "kept",
        format!("{}; database {database}, images {images}; [retention] limits it", rows.join(", ")),
    )
}
