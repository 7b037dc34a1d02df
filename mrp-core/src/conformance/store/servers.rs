//! Claims of servers that share a database.

use futures_util::future::join_all;

use super::*;
use crate::claim::Claim;

fn wanted(name: &str, holder: &str, until: i64) -> Claim {
    let (name, url) = (name.to_owned(), format!("http://{holder}"));
    Claim { name, holder: holder.into(), url, until: Timestamp(until) }
}

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let a = wanted("bmc:1", "a", 100);
    same("a free name", &store.claim(&a, Timestamp(0)).await?, &a)?;
    same("a name that is held", &store.claim(&wanted("bmc:1", "b", 150), Timestamp(99)).await?, &a)?;
    let renewed = wanted("bmc:1", "a", 200);
    same("one's own name", &store.claim(&renewed, Timestamp(99)).await?, &renewed)?;
    let b = wanted("bmc:1", "b", 300);
    same("a name that has lapsed", &store.claim(&b, Timestamp(200)).await?, &b)?;
    store.claim(&wanted("bmc:10", "a", 300), Timestamp(200)).await?;
    store.claim(&wanted("server:a", "a", 300), Timestamp(200)).await?;
    store.renew_claims("a", Timestamp(400)).await?;
    same("a claim by name", &store.claim_named("bmc:10").await?, &Some(wanted("bmc:10", "a", 400)))?;
    same("a name that nobody has", &store.claim_named("bmc:2").await?, &None)?;
    same("claims by prefix", &store.claims("bmc:").await?, &vec![b.clone(), wanted("bmc:10", "a", 400)])?;
    same("another prefix", &store.claims("server:").await?, &vec![wanted("server:a", "a", 400)])?;
    store.release_claim("server:a", "b").await?;
    same("another's release", &store.claims("server:").await?, &vec![wanted("server:a", "a", 400)])?;
    store.release_claim("server:a", "a").await?;
    same("a claim that was released", &store.claim_named("server:a").await?, &None)?;
    same("the other claims", &store.claim_named("bmc:10").await?, &Some(wanted("bmc:10", "a", 400)))?;
    store.release_claims("a").await?;
    same("what others have", &store.claims("").await?, &vec![b])
}

pub(super) async fn concurrent(store: &dyn Store) -> Outcome {
    let servers: Vec<Claim> = (0..20).map(|server| wanted("bmc:1", &format!("s{server}"), 100)).collect();
    let mut held = Vec::new();
    for claim in join_all(servers.iter().map(|server| store.claim(server, Timestamp(0)))).await {
        held.push(claim?);
    }
    let Some(first) = held.first().cloned() else { return Ok(()) };
    ensure(held.iter().all(|claim| *claim == first), || "servers were told different holders".into())?;
    same("the holder", &store.claim_named("bmc:1").await?, &Some(first))
}
