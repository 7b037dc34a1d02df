//! The serial console: where a service says that it is offered over IPMI, Serial over LAN by the driver `plain`.
//!
//! Redfish describes consoles and carries none (DSP2046, ComputerSystem: SerialConsole; Manager: SerialConsole).

use mrp_core::bmc::BmcError;
use serde_json::Value;

use super::answer::Failure;
use super::service::{Service, link};
use super::system::System;

/// UDP port of IPMI where the service names none.
const IPMI_PORT: u16 = 623;

/// The port at which a system's console is offered over IPMI.
pub(crate) async fn ipmi_port(service: &Service, system: &System) -> Result<u16, Failure> {
    let console = &system.body["SerialConsole"]["IPMI"];
    if console["ServiceEnabled"] == true {
        return Ok(port(&console["Port"]));
    }
    if console["ServiceEnabled"] == false {
        return Err(
            BmcError::Unsupported("the serial console (the system's is switched off for IPMI)").into()
        );
    }
    let managers = system.body["Links"]["ManagedBy"].as_array().into_iter().flatten();
    for manager in managers.filter_map(link) {
        let manager = service.get(&manager).await?.body;
        let console = &manager["SerialConsole"];
        let mut types = console["ConnectTypesSupported"].as_array().into_iter().flatten();
        if console["ServiceEnabled"] == false || !types.any(|it| it == "IPMI") {
            continue;
        }
        let Some(protocols) = link(&manager["NetworkProtocol"]) else { return Ok(IPMI_PORT) };
        let ipmi = &service.get(&protocols).await?.body["IPMI"];
        if ipmi["ProtocolEnabled"] == false {
            return Err(BmcError::Unsupported("the serial console (IPMI is switched off)").into());
        }
        return Ok(port(&ipmi["Port"]));
    }
    Err(BmcError::Unsupported("the serial console (the service offers none over IPMI)").into())
}

fn port(value: &Value) -> u16 {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(IPMI_PORT)
}
