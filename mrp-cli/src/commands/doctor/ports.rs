//! Ports: whether they can be had, or mrp has them already.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Finding;
use crate::config::{Config, TlsMode};
use crate::port::{Protocol, holder, taken};
use crate::wiring;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let people = web("web.listen", config.web.listen, config.web.tls != TlsMode::Off).await;
    let machines = web("machine.listen", config.machine.listen, false).await;
    vec![people, machines, tftp(config)]
}

async fn web(key: &str, address: SocketAddr, tls: bool) -> Finding {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Finding::ok(key, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && serves_mrp(address, tls).await => {
            Finding::ok(key, format!("mrp serves at {address}"))
        }
        Err(error) => refused(key, Protocol::Tcp, address, &error),
    }
}

fn refused(key: &str, protocol: Protocol, address: SocketAddr, error: &std::io::Error) -> Finding {
    match taken(key, protocol, address, error.kind()) {
        Some(message) => {
            let message = message.to_string();
            let (text, advice) = message.rsplit_once("; ").unwrap_or((&message, "choose another address"));
            let text = text.strip_prefix(key).unwrap_or(text).trim_start();
            Finding::problem(key, text, advice)
        }
        None => Finding::problem(key, format!("{address}: {error}"), format!("set {key} to another address")),
    }
}

/// Asks what serves there whether it is alive, as mrp answers it on both doors.
async fn serves_mrp(mut address: SocketAddr, tls: bool) -> bool {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    if tls {
        // Its certificate is not looked at: who holds the port is all that is asked.
        return holder(Protocol::Tcp, address.port()).is_some_and(|holder| holder.starts_with("mrp "));
    }
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build();
    let Ok(http) = http else { return false };
    let answer = http.get(format!("http://{address}/healthz")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

fn tftp(config: &Config) -> Finding {
    let (about, address) = ("tftp.listen", config.tftp.listen);
    if !config.tftp.enabled {
        return Finding::ok(about, "TFTP is off (tftp.enabled)");
    }
    match wiring::bind_tftp(config) {
        Ok(server) => match server.receive_buffer_warning() {
            None => Finding::ok(about, format!("{address} is free")),
            Some(warning) => Finding::warning(about, format!("{address} is free"), warning),
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::problem(
            about,
            format!("this user may not listen on {address}"),
            wiring::how_to_grant_tftp(),
        ),
        Err(error) => match holder(Protocol::Udp, address.port()) {
            Some(holder) if error.kind() == ErrorKind::AddrInUse && holder.starts_with("mrp ") => {
                Finding::ok(about, format!("mrp serves at {address}"))
            }
            _ => refused(about, Protocol::Udp, address, &error),
        },
    }
}
