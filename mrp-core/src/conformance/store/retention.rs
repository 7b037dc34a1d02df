//! What is old goes, in batches, and nothing else.

use super::*;
use crate::retention::Outdated;
use crate::run::RunStatus;

fn before(at: i64) -> Outdated {
    Outdated { before: Some(Timestamp(at)), beyond: None }
}

fn beyond(count: u64) -> Outdated {
    Outdated { before: None, beyond: Some(count) }
}

/// Ten events and audit entries, at 0, 1, … 9.
async fn history(store: &dyn Store) -> Outcome {
    for number in 0..10 {
        let mut both = journal(&number.to_string());
        both.events[0].at = Timestamp(number);
        both.audit[0].at = Timestamp(number);
        store.record(&both).await?;
    }
    Ok(())
}

pub(super) async fn events(store: &dyn Store) -> Outcome {
    history(store).await?;
    let texts = async || -> Result<Vec<String>, Failure> {
        Ok(store.events(&EventFilter::default()).await?.into_iter().map(|event| event.text).collect())
    };
    same("nothing outdated", &store.delete_old_events(&Outdated::default(), 100).await?, &0)?;
    same("nothing so old", &store.delete_old_events(&before(0), 100).await?, &0)?;
    same("nothing beyond", &store.delete_old_events(&beyond(10), 100).await?, &0)?;
    same("a batch", &store.delete_old_events(&before(5), 3).await?, &3)?;
    same(
        "events after it",
        &texts().await?,
        &["3", "4", "5", "6", "7", "8", "9"].map(String::from).to_vec(),
    )?;
    same("the rest", &store.delete_old_events(&before(5), 3).await?, &2)?;
    let both = Outdated { before: Some(Timestamp(6)), beyond: Some(2) };
    same("by age and number", &store.delete_old_events(&both, 100).await?, &3)?;
    same("events after it", &texts().await?, &["8", "9"].map(String::from).to_vec())?;
    same("all", &store.delete_old_events(&beyond(0), 100).await?, &2)?;
    written(store, 0, 10).await
}

pub(super) async fn audit(store: &dyn Store) -> Outcome {
    history(store).await?;
    same("nothing outdated", &store.delete_old_audit(&Outdated::default(), 100).await?, &0)?;
    same("by age", &store.delete_old_audit(&before(2), 100).await?, &2)?;
    same("by number, a batch", &store.delete_old_audit(&beyond(4), 3).await?, &3)?;
    same("by number, the rest", &store.delete_old_audit(&beyond(4), 3).await?, &1)?;
    let left: Vec<String> = store.audit(Id::NEW, 100).await?.into_iter().map(|entry| entry.name).collect();
    same("audit entries after it", &left, &["6", "7", "8", "9"].map(String::from).to_vec())?;
    written(store, 10, 4).await
}

pub(super) async fn runs(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let mut machine = machine;
    let mut ended = Vec::new();
    for number in 0..3 {
        let (run, armed) = store.insert_run(&provision(&machine, None), &machine, &journal("starts")).await?;
        let over = Run { status: RunStatus::Ready, ended: Some(Timestamp(number)), ..run };
        ended.push(store.update_run(&over, None, &quiet()).await?.id);
        machine = armed;
    }
    let (active, _) = store.insert_run(&provision(&machine, None), &machine, &journal("starts")).await?;
    written(store, 4, 4).await?;
    same("events of a run under way", &store.delete_old_events(&beyond(0), 100).await?, &3)?;
    same("nothing outdated", &store.delete_old_runs(&Outdated::default(), 9).await?, &0)?;
    same("by age", &store.delete_old_runs(&before(1), 9).await?, &1)?;
    same("the oldest run", &store.run(ended[0]).await?, &None)?;
    same("a batch by number", &store.delete_old_runs(&beyond(0), 1).await?, &1)?;
    same("the rest", &store.delete_old_runs(&beyond(0), 9).await?, &1)?;
    same("again", &store.delete_old_runs(&beyond(0), 9).await?, &0)?;
    let left = store.runs(&RunFilter::default()).await?;
    ids("runs after it", &left, |run| run.id, &[active.id])?;
    written(store, 1, 4).await
}

pub(super) async fn tokens(store: &dyn Store) -> Outcome {
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let until = |hash: &str, expires: Option<i64>| Token {
        expires: expires.map(Timestamp),
        ..token(&alice, hash, TokenKind::Session)
    };
    let mut made = Vec::new();
    for (hash, expires) in [("a", Some(1)), ("b", Some(2)), ("c", Some(3)), ("d", None)] {
        made.push(store.insert_token(&until(hash, expires), &quiet()).await?.id);
    }
    same("a batch", &store.delete_expired_tokens(Timestamp(2), 1).await?, &1)?;
    same("the rest", &store.delete_expired_tokens(Timestamp(2), 9).await?, &1)?;
    ids("tokens after it", &store.tokens(alice.id).await?, |token| token.id, &made[2..])
}

pub(super) async fn images(store: &dyn Store) -> Outcome {
    let mut machine = stored_machine(store, "m1").await?;
    let arch = store.archs().await?.remove(0);
    let make = async |name: &str, kind: ImageKind, public: bool, at: i64| {
        let made = Image { public, uploaded: Timestamp(at), ..image(name, &arch, None, kind) };
        store.insert_image(&made, &quiet()).await.map(|image| image.id)
    };
    let kernel = make("kernel", ImageKind::Kernel, false, 1).await?;
    let initrd = make("initrd", ImageKind::Initrd, true, 1).await?;
    let loader = make("loader", ImageKind::BootLoader, false, 1).await?;
    make("public loader", ImageKind::BootLoader, true, 1).await?;
    let unused = make("unused", ImageKind::Kernel, true, 1).await?;
    let other = make("other", ImageKind::BootLoader, false, 2).await?;
    make("new", ImageKind::Kernel, true, 5).await?;
    (machine.kernel, machine.initrd) = (Some(kernel), Some(initrd));
    store.update_machine(&machine, &quiet()).await?;
    let efi = Subarch { bootloader: Some(loader), ..subarch(&arch, "efi") };
    store.insert_subarch(&efi, &quiet()).await?;
    let found = store.unused_images(Timestamp(5), 100).await?;
    same("unused images", &found, &vec![unused, other])?;
    same("at most so many", &store.unused_images(Timestamp(5), 1).await?, &vec![unused])?;
    same("none so old", &store.unused_images(Timestamp(1), 100).await?, &vec![])
}

pub(super) async fn holdings(store: &dyn Store) -> Outcome {
    let empty = store.holdings().await?;
    ensure(empty.rows.iter().all(|(_, count)| *count == 0), || format!("an empty store holds {empty:?}"))?;
    history(store).await?;
    let arch = store.insert_arch(&arch("x86_64"), &quiet()).await?;
    for name in ["one", "two"] {
        store.insert_image(&image(name, &arch, None, ImageKind::Kernel), &quiet()).await?;
    }
    let full = store.holdings().await?;
    let rows = |what: &str| full.rows.iter().find(|(name, _)| name == what).map(|(_, count)| *count);
    same("events", &rows("events"), &Some(10))?;
    same("audit", &rows("audit"), &Some(10))?;
    same("images", &rows("images"), &Some(2))?;
    same("bytes of images", &full.image_bytes, &5)?;
    ensure(full.rows.is_sorted(), || format!("not sorted: {full:?}"))?;
    ensure(full.database_bytes > 0, || "a database without a size".into())
}
