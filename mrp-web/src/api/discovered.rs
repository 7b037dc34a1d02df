//! Clients that asked for an address and belong to no machine.

use mrp_core::api;
use mrp_core::firmware::client_arch_name;
use mrp_core::lease::Discovered;
use mrp_core::mac::MacAddr;
use mrp_core::machine::Machine;
use mrp_core::service::discovery::Plug;

use crate::api::{bmc, machine, network};
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::{MAC_CURSOR, Pages};
use crate::reply;
use crate::route::Kind;
use crate::router::{Route, Who};

/// A MAC address as mrp writes it; other notations are understood too.
const MAC: &str = "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/discovered", "list_discovered", Who::User, list)
            .about("Clients that asked for an address and belong to no machine")
            .paged_by(MAC_CURSOR)
            .answers::<Vec<api::Discovered>>(200),
        Route::new("POST", "/api/v1/discovered/{mac}/machine", "adopt_discovered", Who::Admin, adopt)
            .about("Makes a machine of a discovered client, with the interface by which it was seen")
            .segment("mac", Kind::Pattern(MAC), "MAC address")
            .body::<api::DiscoveredMachine>()
            .answers::<api::Machine>(201)
            .refuses(&[404, 409]),
        Route::new("DELETE", "/api/v1/discovered/{mac}", "forget_discovered", Who::Admin, forget)
            .about("Forgets a discovered client until it asks again")
            .segment("mac", Kind::Pattern(MAC), "MAC address")
            .answers_nothing(204)
            .refuses(&[404]),
    ]
}

async fn list(call: Call) -> Answer {
    let mut clients = call.service().discovery().list(call.actor()).await?;
    let pages = Pages::of(&call)?;
    // Newest first moves while it is read; pages are sorted by what does not.
    if pages.are_asked() {
        clients.sort_by_key(|client| client.mac.to_string());
        return Ok(pages.answer_by_key(
            &call,
            clients,
            |client| client.mac.to_string(),
            |client| view(&call, client),
        ));
    }
    Ok(reply::ok(&clients.iter().map(|client| view(&call, client)).collect::<Vec<_>>()))
}

async fn adopt(call: Call) -> Answer {
    let mac = mac_of(&call)?;
    let new: api::DiscoveredMachine = call.exact().await?;
    let (service, actor) = (call.service(), call.actor());
    actor.require_admin()?;
    let mut machine = Machine::new(new.name, service.archs().by_name(actor, &new.arch).await?.id);
    machine.bmc = bmc::id_of(service, actor, new.bmc).await?;
    machine.bmc_info = new.bmc_info;
    let network = network::id_of(service, actor, new.network).await?;
    let plug = Plug { identifier: new.identifier, network };
    let made = service.discovery().adopt(actor, mac, machine, new.subarch.as_deref(), plug).await?;
    Ok(reply::created(&machine::view(&made)))
}

async fn forget(call: Call) -> Answer {
    call.service().discovery().forget(call.actor(), mac_of(&call)?).await?;
    Ok(reply::no_content())
}

/// The MAC address in the path, in any notation; what is none is no path.
fn mac_of(call: &Call) -> Result<MacAddr, ApiError> {
    call.params.first().and_then(|text| text.parse().ok()).ok_or(ApiError::NoRoute)
}

fn view(call: &Call, client: &Discovered) -> api::Discovered {
    api::Discovered {
        mac: client.mac.to_string(),
        vendor: call.service().discovery().vendor(client.mac),
        hostname: client.hostname.clone(),
        client_arch: client.client_arch,
        client_arch_name: client.client_arch.and_then(client_arch_name).map(str::to_owned),
        vendor_class: client.vendor_class.clone(),
        last_seen: client.last_seen,
    }
}
