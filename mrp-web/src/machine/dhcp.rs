//! The HTTP contract of mr-provisioner's Kea hook.

use std::net::Ipv4Addr;

use mrp_core::Error;
use mrp_core::api::dhcp::{DhcpAnswer, DhcpChoice, DhcpLease, DhcpSeen, DhcpSubnets};
use mrp_core::mac::MacAddr;
use mrp_core::service::discovery::{DhcpSubnet, Seen, SubnetChoice};
use serde_json::{Value, json};
use warp::http::StatusCode;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply;
use crate::router::{Kind, Route, Who};
use crate::schema::Fields;

/// Option: host name.
const HOST_NAME: u64 = 12;
/// Option: boot file.
const BOOT_FILE: u64 = 67;
/// Option: client architecture (RFC 4578, 2.1).
const CLIENT_ARCH: u64 = 93;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/dhcp/ipv4", "get_dhcp_answer", Who::Dhcp, answer)
            .about("What a client is to be told")
            .needs_query("hwaddr", Kind::Text, "The client's MAC address")
            .answers::<DhcpAnswer>(200)
            .refuses(&[404]),
        Route::new("POST", "/dhcp/ipv4/seen", "dhcp_client_seen", Who::Dhcp, seen)
            .about("A client asked for an address")
            .note("200 for a known client, 202 for another.")
            .body::<DhcpSeen>()
            .answers_nothing(200)
            .answers_nothing(202),
        Route::new("POST", "/dhcp/ipv4/lease", "dhcp_lease", Who::Dhcp, lease)
            .about("A client got an address")
            .body::<DhcpLease>()
            .answers_nothing(201),
        Route::new("POST", "/dhcp/ipv4/subnet", "choose_dhcp_subnet", Who::Dhcp, subnet)
            .about("Which subnet a client is to be in")
            .body::<DhcpSubnets>()
            .answers::<DhcpChoice>(200)
            .refuses(&[404]),
    ]
}

async fn answer(call: Call) -> Answer {
    let address = call.param("hwaddr").filter(|address| !address.is_empty());
    let address = address.ok_or_else(|| ApiError::schema("hwaddr: a MAC address is needed"))?;
    let mac = parse_mac("hwaddr", &address)?;
    let answer = call.service().discovery().answer(mac).await?.ok_or_else(|| unknown(mac))?;
    let mut body = json!({"options": []});
    if let Some(ipv4) = answer.ipv4 {
        body["ipv4"] = json!(ipv4);
    }
    if let Some(server) = answer.next_server {
        body["next-server"] = json!(server);
    }
    if let Some(file) = answer.boot_file {
        body["options"] = json!([{"option": BOOT_FILE, "value": file}]);
    }
    Ok(reply::ok(&body))
}

async fn seen(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["discover", "mac", "options"])?;
    fields.only(&["discover", "mac", "options"])?;
    let options = list(&fields, "options")?;
    let option = |number: u64| {
        let found =
            options.iter().find(|option| option.get("option").and_then(Value::as_u64) == Some(number));
        found.and_then(|option| option.get("value"))
    };
    let hostname = option(HOST_NAME).and_then(Value::as_str);
    let seen = Seen {
        mac: mac(&fields)?,
        hostname: hostname.map(str::to_owned),
        client_arch: option(CLIENT_ARCH).and_then(Value::as_u64).and_then(|arch| u16::try_from(arch).ok()),
        discover: fields.flag("discover")?.unwrap_or(false),
    };
    let known = call.service().discovery().seen(seen).await?;
    Ok(reply::empty(if known { StatusCode::OK } else { StatusCode::ACCEPTED }))
}

async fn lease(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["duration", "ipv4", "mac"])?;
    fields.only(&["duration", "ipv4", "mac"])?;
    if fields.value("duration").and_then(Value::as_u64).is_none() {
        return Err(ApiError::schema("duration: seconds are needed"));
    }
    let address = fields.text("ipv4", 64)?.unwrap_or_default();
    let address: Ipv4Addr =
        address.parse().map_err(|_| ApiError::schema("ipv4: an IPv4 address is needed"))?;
    call.service().discovery().lease(mac(&fields)?, address, None).await?;
    Ok(reply::empty(StatusCode::CREATED))
}

async fn subnet(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["mac", "subnets"])?;
    let mac = mac(&fields)?;
    let subnets = list(&fields, "subnets")?.iter().map(dhcp_subnet).collect::<Result<Vec<_>, _>>()?;
    let choice = call.service().discovery().subnet(mac, &subnets).await?.ok_or_else(|| unknown(mac))?;
    Ok(reply::ok(&match choice {
        SubnetChoice::Default => json!({"subnetId": null}),
        SubnetChoice::Subnet(id) => json!({"subnetId": id}),
        SubnetChoice::None => json!({}),
    }))
}

fn dhcp_subnet(value: &Value) -> Result<DhcpSubnet, ApiError> {
    let id = value.get("subnetId").and_then(Value::as_i64);
    let pools = value.get("pools").and_then(Value::as_array);
    let first = |pool: &Value| pool.get("firstIP").and_then(Value::as_str).and_then(|ip| ip.parse().ok());
    let pools = pools.map(|pools| pools.iter().map(first).collect::<Option<Vec<Ipv4Addr>>>());
    match (id, pools) {
        (Some(id), Some(Some(pools))) => Ok(DhcpSubnet { id, pools }),
        _ => Err(ApiError::schema("subnets: each needs subnetId and pools with firstIP")),
    }
}

fn list<'a>(fields: &'a Fields, key: &str) -> Result<&'a Vec<Value>, ApiError> {
    let found = fields.value(key).and_then(Value::as_array);
    found.ok_or_else(|| ApiError::schema(format!("{key}: a list is needed")))
}

fn mac(fields: &Fields) -> Result<MacAddr, ApiError> {
    parse_mac("mac", &fields.text("mac", 64)?.unwrap_or_default())
}

fn parse_mac(key: &str, text: &str) -> Result<MacAddr, ApiError> {
    text.parse().map_err(|error| ApiError::schema(format!("{key}: {error}")))
}

fn unknown(mac: MacAddr) -> ApiError {
    Error::not_found("interface", mac).into()
}
