//! Interfaces of machines and their addressing.

use std::net::Ipv4Addr;

use mrp_core::api;
use mrp_core::mac::MacAddr;
use mrp_core::service::interfaces::{AddressKind, InterfaceChange, InterfaceView, WantedAddress};

use crate::api::network;
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Route, Who};
use crate::schema::Fields;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/machine/{id}/interface", "list_interfaces", Who::User, list)
            .about("Interfaces of a machine")
            .paged()
            .answers::<Vec<api::Interface>>(200),
        Route::new("POST", "/api/v1/machine/{id}/interface", "create_interface", Who::Admin, create)
            .about("Adds an interface")
            .tagged()
            .body::<api::NewInterface>()
            .answers::<api::Interface>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/machine/{id}/interface/{interface}", "get_interface", Who::User, get)
            .about("One interface")
            .tagged()
            .answers::<api::Interface>(200),
        Route::new("PUT", "/api/v1/machine/{id}/interface/{interface}", "set_interface", Who::Holder, set)
            .about("Sets an interface's address, name, network")
            .tagged()
            .conditional()
            .body::<api::settings::InterfaceSettings>()
            .answers::<api::Interface>(200)
            .refuses(&[409]),
        Route::new(
            "DELETE",
            "/api/v1/machine/{id}/interface/{interface}",
            "delete_interface",
            Who::Admin,
            delete,
        )
        .about("Removes an interface")
        .conditional()
        .answers_nothing(204)
        .refuses(&[409]),
    ]
}

async fn list(call: Call) -> Answer {
    let interfaces = call.service().interfaces().list(call.actor(), call.id(0)?).await?;
    Pages::of(&call)?.answer(&call, interfaces, |found| found.interface.id.get(), view)
}

async fn get(call: Call) -> Answer {
    let interface = call.service().interfaces().get(call.actor(), call.id(0)?, call.id(1)?).await?;
    Ok(reply::tagged(reply::ok(&view(&interface)), interface.interface.revision))
}

async fn create(call: Call) -> Answer {
    let new: api::NewInterface = call.exact().await?;
    let mac = mac_of(&new.mac)?;
    let (service, actor, machine) = (call.service(), call.actor(), call.id(0)?);
    service.machines().get(actor, machine).await?;
    actor.require_admin()?;
    let network = network::id_of(service, actor, new.network).await?;
    let made = service.interfaces().create(actor, machine, mac, new.identifier, network).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.interface.revision))
}

async fn set(call: Call) -> Answer {
    let fields = call.fields().await?;
    let mut change = InterfaceChange {
        identifier: fields.nullable_text("identifier", 64)?,
        kind: kind_of(&fields)?,
        address: address_of(&fields)?,
        mac: fields.text("mac", 64)?.as_deref().map(mac_of).transpose()?,
        network: None,
    };
    let network = fields.nullable_text("network", 256)?;
    let (service, actor) = (call.service(), call.actor());
    let found = service.interfaces().get(actor, call.id(0)?, call.id(1)?).await?;
    // Clients send whole objects back: what stays as it is, is no change.
    change.mac = change.mac.filter(|mac| *mac != found.interface.mac);
    if let Some(name) = network {
        change.network = Some(network::id_of(service, actor, name).await?);
    }
    let interfaces = service.interfaces().expecting(call.expected());
    let set = interfaces.update(actor, call.id(0)?, call.id(1)?, change).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.interface.revision))
}

async fn delete(call: Call) -> Answer {
    let interfaces = call.service().interfaces().expecting(call.expected());
    interfaces.delete(call.actor(), call.id(0)?, call.id(1)?).await?;
    Ok(reply::no_content())
}

pub(super) fn mac_of(text: &str) -> Result<MacAddr, ApiError> {
    text.parse().map_err(|error| ApiError::schema(format!("mac: {error}")))
}

fn kind_of(fields: &Fields) -> Result<Option<AddressKind>, ApiError> {
    let Some(text) = fields.text("config_type_v4", 64)? else { return Ok(None) };
    match text.as_str() {
        "dynamic" => Ok(Some(AddressKind::Dynamic)),
        "dynamic-reserved" => Ok(Some(AddressKind::Reserved)),
        "static" => Ok(Some(AddressKind::Static)),
        _ => Err(ApiError::schema("config_type_v4: the types are dynamic, dynamic-reserved and static")),
    }
}

fn address_of(fields: &Fields) -> Result<Option<Option<WantedAddress>>, ApiError> {
    let Some(wanted) = fields.nullable_text("configured_ipv4", 64)? else { return Ok(None) };
    let address = |text: String| match text.as_str() {
        "auto" => Ok(WantedAddress::Auto),
        text => text
            .parse::<Ipv4Addr>()
            .map(WantedAddress::Fixed)
            .map_err(|_| ApiError::schema("configured_ipv4: an IPv4 address, auto or null is needed")),
    };
    Ok(Some(wanted.map(address).transpose()?))
}

pub(super) fn view(InterfaceView { interface, network, lease }: &InterfaceView) -> api::Interface {
    let text = |value: Option<ipnet::Ipv4Net>| value.map(|net| net.to_string());
    api::Interface {
        config_type_v4: interface.addressing.kind().to_owned(),
        configured_ipv4: interface.addressing.address().map(|address| address.to_string()),
        id: interface.id.get(),
        identifier: interface.identifier.clone(),
        last_seen_date: lease.as_ref().map(|lease| reply::http_date(lease.last_seen)),
        lease_ipv4: lease.as_ref().map(|lease| lease.ipv4.to_string()),
        mac: interface.mac.to_string(),
        netmaskv4: network.as_ref().map(|network| network.subnet.netmask().to_string()),
        network_name: network.as_ref().map(|network| network.name.clone()),
        prefixlenv4: network.as_ref().map(|network| network.subnet.prefix_len()),
        reserved_pool_v4: text(network.as_ref().and_then(|network| network.reserved_net)),
        static_pool_v4: text(network.as_ref().and_then(|network| network.static_net)),
        subnetv4: text(network.as_ref().map(|network| network.subnet)),
    }
}
