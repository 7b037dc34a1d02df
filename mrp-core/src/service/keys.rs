//! The server's key: which one a database goes with, and its change.

use serde_json::json;

use crate::error::Error;
use crate::event::{Journal, NewAudit};
use crate::id::Timestamp;
use crate::secret::ServerKey;
use crate::store::{Resealed, RunFilter, Store, StoreError};

/// How often a change is decided anew when BMCs move meanwhile.
const DECISIONS: usize = 8;

/// Which of these keys the secrets in a database are sealed with; `None` for none of them. A database that has noted no
/// key yet takes the first that opens what it holds.
pub async fn choose(store: &dyn Store, keys: &[ServerKey]) -> Result<Option<usize>, Error> {
    let noted = match store.key_check().await? {
        Some(noted) => noted,
        None => {
            let bmcs = store.bmcs().await?;
            let opens =
                |key: &&ServerKey| bmcs.first().is_none_or(|bmc| key.open(&bmc.sealed_password).is_ok());
            let Some(key) = keys.iter().find(opens) else { return Ok(None) };
            store.note_key(&key.check_value()).await?
        }
    };
    Ok(keys.iter().position(|key| key.check_value() == noted))
}

/// Seals all secrets with another key, in one transaction; tells how many. Boot tokens of before are not valid after it,
/// so that it is refused while a run is under way, and while a server of several is up: no service may use the old key
/// meanwhile or after it.
pub async fn rotate(
    store: &dyn Store,
    old: &ServerKey,
    new: &ServerKey,
    now: Timestamp,
) -> Result<usize, Error> {
    if let Some(run) = store.runs(&RunFilter { active: true, ..RunFilter::default() }).await?.first() {
        return Err(Error::Conflict(format!(
            "run {} is under way: its machine would be refused with its boot token; wait for its end or cancel it",
            run.id
        )));
    }
    for _ in 0..DECISIONS {
        let mut resealed = Vec::new();
        for bmc in store.bmcs().await? {
            let secret = old.open(&bmc.sealed_password).map_err(|error| {
                Error::Conflict(format!("password of BMC {}: {error}; set it again, then rotate", bmc.name))
            })?;
            let (id, revision) = (bmc.id, bmc.revision);
            resealed.push(Resealed { bmc: id, revision, sealed_password: new.seal(&secret) });
        }
        let entry = NewAudit {
            at: now,
            actor: "mrp".into(),
            token: None,
            action: "rotate".into(),
            object: "key".into(),
            name: "server key".into(),
            changes: json!({"bmcs": resealed.len()}),
        };
        let journal = Journal { audit: vec![entry], ..Journal::default() };
        match store.rotate_key(&old.check_value(), &new.check_value(), &resealed, now, &journal).await {
            Err(StoreError::Stale) => {}
            Err(StoreError::InUse { what }) => return Err(Error::Conflict(in_use(&what))),
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(resealed.len()),
        }
    }
    Err(Error::Conflict("the BMCs or the key are being changed by another server; stop it first".into()))
}

fn in_use(server: &str) -> String {
    format!(
        "{server} is up on this database and uses the key: stop all servers first; one that was killed counts as up for some seconds"
    )
}
