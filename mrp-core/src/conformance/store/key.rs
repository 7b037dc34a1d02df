//! The key's check value, and its change with all secrets at once.

use super::*;
use crate::claim::Claim;
use crate::store::Resealed;

pub(super) async fn life(store: &dyn Store) -> Outcome {
    same("key_check of a new store", &store.key_check().await?, &None)?;
    same("note_key", &store.note_key("first").await?, &"first".to_owned())?;
    same("note_key of another", &store.note_key("second").await?, &"first".to_owned())?;
    same("key_check", &store.key_check().await?, &Some("first".to_owned()))?;

    let one = store.insert_bmc(&bmc("b1", "10.0.0.1"), &quiet()).await?;
    let two = store.insert_bmc(&bmc("b2", "10.0.0.2"), &quiet()).await?;
    let sealed = |entry: &BmcEntry, byte: u8| Resealed {
        bmc: entry.id,
        revision: entry.revision,
        sealed_password: vec![byte, 0, 255],
    };
    let both = [sealed(&one, 1), sealed(&two, 2)];
    stale("rotate_key of another key", store.rotate_key("other", "new", &both, AT, &journal("no")).await)?;
    stale(
        "rotate_key of one of two",
        store.rotate_key("first", "new", &both[..1], AT, &journal("no")).await,
    )?;
    let moved = store.update_bmc(&two, &quiet()).await?;
    stale("rotate_key of an old row", store.rotate_key("first", "new", &both, AT, &journal("no")).await)?;
    same("a BMC after refusals", &store.bmc(one.id).await?, &Some(one.clone()))?;
    same("key_check after refusals", &store.key_check().await?, &Some("first".to_owned()))?;

    let both = [sealed(&one, 1), sealed(&moved, 2)];
    let up = |name: &str, until| Claim { name: name.into(), holder: "a".into(), url: String::new(), until };
    store.claim(&up("bmc:1", Timestamp(AT.0 + 2)), AT).await?;
    store.claim(&up("server:a", Timestamp(AT.0 + 1)), AT).await?;
    in_use("rotate_key while a server is up", {
        store.rotate_key("first", "new", &both, AT, &journal("no")).await
    })?;
    store.claim(&up("server:a", AT), Timestamp(AT.0 - 1)).await?;
    store.rotate_key("first", "new", &both, AT, &journal("rotated")).await?;
    same("key_check after it", &store.key_check().await?, &Some("new".to_owned()))?;
    for (entry, byte) in [(one, 1), (moved, 2)] {
        let wanted =
            BmcEntry { revision: entry.revision + 1, sealed_password: vec![byte, 0, 255], ..entry.clone() };
        same("a BMC after it", &store.bmc(entry.id).await?, &Some(wanted))?;
    }
    stale("rotate_key again", store.rotate_key("first", "x", &both, AT, &journal("no")).await)?;
    written(store, 1, 1).await
}
