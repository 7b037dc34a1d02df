//! Addresses of networks: who has which, and which are free.

use mrp_core::api;
use mrp_core::network::NetworkAddress;
use mrp_core::service::networks::Pool;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply;
use crate::route::Kind;
use crate::router::{Route, Who};

/// How many free addresses are listed unless it is said, and at most.
const LISTED: (usize, usize) = (100, 10_000);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/network/{id}/addresses", "list_network_addresses", Who::User, list)
            .about("Addresses that interfaces of a network have configured, in numerical order")
            .answers::<Vec<api::NetworkAddress>>(200),
        Route::new("GET", "/api/v1/network/{id}/free", "get_free_addresses", Who::User, free)
            .about("Free addresses of a pool")
            .query("pool", Kind::Pattern("^(static|reserved)?$"), "`static`, the default, or `reserved`")
            .query("limit", Kind::Number(0, 10_000), "How many are listed; 100 by default")
            .answers::<api::FreeAddresses>(200),
    ]
}

async fn list(call: Call) -> Answer {
    let addresses = call.service().networks().addresses(call.actor(), call.id(0)?).await?;
    Ok(reply::ok(&addresses.iter().map(view).collect::<Vec<_>>()))
}

async fn free(call: Call) -> Answer {
    let (name, pool) = match call.param("pool").as_deref() {
        None | Some("" | "static") => ("static", Pool::Static),
        Some("reserved") => ("reserved", Pool::Reserved),
        Some(_) => return Err(ApiError::schema("pool: the pools are static and reserved")),
    };
    let limit = call.parsed("limit", "a number")?.unwrap_or(LISTED.0);
    if limit > LISTED.1 {
        return Err(ApiError::schema(format!("limit: at most {} are listed", LISTED.1)));
    }
    let free = call.service().networks().free(call.actor(), call.id(0)?, pool).await?;
    Ok(reply::ok(&api::FreeAddresses {
        pool: name.to_owned(),
        range: free.range().to_string(),
        size: free.size(),
        free: free.count(),
        addresses: free.addresses().take(limit).map(|address| address.to_string()).collect(),
    }))
}

fn view(taken: &NetworkAddress) -> api::NetworkAddress {
    api::NetworkAddress {
        ipv4: taken.address.to_string(),
        config_type_v4: taken.addressing.kind().to_owned(),
        mac: taken.mac.to_string(),
        identifier: taken.identifier.clone(),
        interface_id: taken.interface.get(),
        machine_id: taken.machine.get(),
        machine: taken.machine_name.clone(),
    }
}
