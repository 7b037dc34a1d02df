//! Limits of logins.

use super::*;
use crate::login::{LoginLimit, LoginOutcome};

const NOW: Timestamp = AT;
const LONG_AGO: Timestamp = Timestamp(AT.0 - 60_000);

fn limit(subject: &str, failures: u32, at_once: u32) -> LoginLimit {
    LoginLimit { subject: subject.into(), failures, at_once }
}

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let (alice, here) = (limit("user alice", 2, 2), limit("address 192.0.2.1", 3, 4));
    let both = [alice.clone(), here.clone()];
    for number in 0..2 {
        same("an attempt", &store.begin_login(&both, LONG_AGO, NOW).await?, &None)
            .map_err(|failure| Failure(format!("{number}: {failure}")))?;
    }
    let reached = Some("user alice".to_owned());
    same("as many at once as are allowed", &store.begin_login(&both, LONG_AGO, NOW).await?, &reached)?;
    store.end_login(&both, LoginOutcome::Failed).await?;
    same("a failure and one under way", &store.begin_login(&both, LONG_AGO, NOW).await?, &reached)?;
    store.end_login(&both, LoginOutcome::Right).await?;
    let bob = [limit("user bob", 2, 2), here.clone()];
    for name in ["a", "b"] {
        let one = [limit(name, 2, 2), here.clone()];
        same("an attempt of another", &store.begin_login(&one, LONG_AGO, NOW).await?, &None)?;
        store.end_login(&one, LoginOutcome::Failed).await?;
    }
    let reached = Some(here.subject.clone());
    same("an address with its failures", &store.begin_login(&bob, LONG_AGO, NOW).await?, &reached)?;
    let alone = std::slice::from_ref(&alice);
    for _ in 0..2 {
        same("a name whose failures are forgiven", &store.begin_login(alone, LONG_AGO, NOW).await?, &None)?;
    }
    let later = Timestamp(NOW.0 + 60_001);
    let since = Timestamp(NOW.0 + 1);
    same("an address after its time", &store.begin_login(&bob, since, later).await?, &None)?;
    same("old rows", &store.delete_logins(since).await?, &3)?;
    same("old rows again", &store.delete_logins(since).await?, &0)?;
    store.end_login(&bob, LoginOutcome::Failed).await?;
    same("an attempt after the cleaning", &store.begin_login(&bob, since, later).await?, &None)?;
    store.end_login(&[limit("user of nobody", 1, 1)], LoginOutcome::Failed).await?;
    written(store, 0, 0).await
}

pub(super) async fn concurrent(store: &dyn Store) -> Outcome {
    let limits = [limit("user alice", 5, 5), limit("address 192.0.2.1", 5, 32)];
    let attempts = (0..20).map(|_| store.begin_login(&limits, LONG_AGO, NOW));
    let answers = futures_util::future::join_all(attempts).await;
    let mut begun = 0;
    for answer in answers {
        begun += usize::from(answer?.is_none());
    }
    same("attempts of 20 at once", &begun, &5)
}
