//! Networks.

use ipnet::Ipv4Net;
use mrp_core::id::Id;
use mrp_core::network::{Network, NetworkId};
use mrp_core::{Actor, Error, Provisioner, api};

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/network", "list_networks", Who::User, list)
            .about("Networks")
            .paged()
            .answers::<Vec<api::Network>>(200),
        Route::new("POST", "/api/v1/network", "create_network", Who::Admin, create)
            .about("Makes a network")
            .tagged()
            .body::<api::NewNetwork>()
            .answers::<api::Network>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/network/{id}", "get_network", Who::User, get)
            .about("One network")
            .tagged()
            .answers::<api::Network>(200),
        Route::new("PUT", "/api/v1/network/{id}", "set_network", Who::Admin, set)
            .about("Changes a network")
            .tagged()
            .conditional()
            .body::<api::NewNetwork>()
            .answers::<api::Network>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/network/{id}", "delete_network", Who::Admin, delete)
            .about("Removes a network that no interface is in")
            .conditional()
            .answers_nothing(204)
            .refuses(&[409]),
    ]
}

async fn list(call: Call) -> Answer {
    let networks = call.service().networks().list(call.actor()).await?;
    Pages::of(&call)?.answer(&call, networks, |network| network.id.get(), view)
}

async fn get(call: Call) -> Answer {
    let found = call.service().networks().get(call.actor(), call.id(0)?).await?;
    Ok(reply::tagged(reply::ok(&view(&found)), found.revision))
}

async fn create(call: Call) -> Answer {
    let network = network(call.exact().await?)?;
    let made = call.service().networks().create(call.actor(), network).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.revision))
}

async fn set(call: Call) -> Answer {
    let new = network(call.exact().await?)?;
    let old = call.service().networks().get(call.actor(), call.id(0)?).await?;
    let network = Network { id: old.id, revision: old.revision, ..new };
    let networks = call.service().networks().expecting(call.expected());
    let set = networks.update(call.actor(), network).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().networks().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

/// The id behind a name.
pub(super) async fn id_of(
    service: &Provisioner,
    actor: &Actor,
    name: Option<String>,
) -> Result<Option<NetworkId>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let found = service.networks().list(actor).await?.into_iter().find(|network| network.name == name);
    found.map(|network| Some(network.id)).ok_or_else(|| ApiError::refused(format!("no such network: {name}")))
}

fn network(new: api::NewNetwork) -> Result<Network, ApiError> {
    let range = |field, text: Option<String>| text.map(|text| net(field, &text)).transpose();
    Ok(Network {
        id: Id::NEW,
        revision: 0,
        name: new.name,
        subnet: net("subnet", &new.subnet)?,
        static_net: range("static_net", new.static_net)?,
        reserved_net: range("reserved_net", new.reserved_net)?,
        server_url: new.server_url,
        trust_path_mac: new.trust_path_mac,
    })
}

fn net(field: &'static str, text: &str) -> Result<Ipv4Net, ApiError> {
    text.parse().map_err(|_| Error::invalid(field, "write it as 10.0.0.0/24").into())
}

fn view(network: &Network) -> api::Network {
    api::Network {
        id: network.id.get(),
        name: network.name.clone(),
        subnet: network.subnet.to_string(),
        static_net: network.static_net.map(|net| net.to_string()),
        reserved_net: network.reserved_net.map(|net| net.to_string()),
        server_url: network.server_url.clone(),
        trust_path_mac: network.trust_path_mac,
    }
}
