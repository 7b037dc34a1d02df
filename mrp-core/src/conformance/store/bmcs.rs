//! BMCs.

use super::*;

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let one = store.insert_bmc(&bmc("b1", "10.1.0.1"), &journal("1")).await?;
    let two = store.insert_bmc(&bmc("b2", "10.1.0.2:6230"), &quiet()).await?;
    same("a new BMC", &one, &BmcEntry { id: one.id, revision: 1, ..bmc("b1", "10.1.0.1") })?;
    same("bmcs", &store.bmcs().await?, &vec![one.clone(), two.clone()])?;
    same("bmc", &store.bmc(two.id).await?, &Some(two.clone()))?;
    let (name, address) = (bmc("b1", "10.1.0.3"), bmc("b3", "10.1.0.1"));
    conflict("insert_bmc of a taken name", store.insert_bmc(&name, &journal("no")).await)?;
    conflict("insert_bmc of a taken address", store.insert_bmc(&address, &journal("no")).await)?;
    let wanted = BmcEntry {
        sealed_password: Vec::new(),
        privilege: Privilege::User,
        options: serde_json::Map::new(),
        username: String::new(),
        driver: "moonshot".into(),
        ..one.clone()
    };
    let changed = store.update_bmc(&wanted, &journal("2")).await?;
    same("a changed BMC", &changed, &BmcEntry { revision: 2, ..wanted.clone() })?;
    same("a changed BMC, read again", &store.bmc(one.id).await?, &Some(changed.clone()))?;
    stale("update_bmc", store.update_bmc(&wanted, &journal("no")).await)?;
    let taken = BmcEntry { address: two.address.clone(), ..changed.clone() };
    conflict("update_bmc to a taken address", store.update_bmc(&taken, &journal("no")).await)?;
    let taken = BmcEntry { name: two.name.clone(), ..changed };
    conflict("update_bmc to a taken name", store.update_bmc(&taken, &journal("no")).await)?;

    let machine = stored_machine(store, "m1").await?;
    let machine = store.update_machine(&Machine { bmc: Some(two.id), ..machine }, &quiet()).await?;
    in_use("delete_bmc of a machine", store.delete_bmc(two.id, None, &journal("no")).await)?;
    store.delete_machine(&machine, &quiet()).await?;
    store.delete_bmc(two.id, None, &journal("3")).await?;
    gone("delete_bmc again", store.delete_bmc(two.id, None, &journal("no")).await)?;
    gone("update_bmc of a removed one", store.update_bmc(&two, &journal("no")).await)?;
    same("bmc that is gone", &store.bmc(two.id).await?, &None)?;
    written(store, 3, 3).await
}
