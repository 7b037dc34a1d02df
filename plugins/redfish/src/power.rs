//! Power: states and reset types (DSP2046, ComputerSystem: PowerState and Reset).

use std::time::Duration;

use mrp_core::bmc::{BmcError, Power, PowerAction};
use reqwest::Method;
use serde_json::{Value, json};

use super::answer::Failure;
use super::service::{Service, link};
use super::system::{System, objection};
use super::task::change;

/// Between two looks at a system that is going off.
const PAUSE: Duration = Duration::from_millis(500);

/// What a system is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// A reset type of its own.
    Reset(&'static str),
    /// Off, and on when it is off.
    OffAndOn { off: &'static str, on: &'static str },
}

/// The power state of a system.
pub(crate) fn state(service: &Service, system: &System) -> Result<Power, BmcError> {
    match system.body["PowerState"].as_str() {
        Some("On" | "PoweringOff" | "Paused") => Ok(Power::On),
        Some("Off" | "PoweringOn") => Ok(Power::Off),
        Some(other) => Err(service.protocol(format!("the power state is {other:?}"))),
        None => Err(BmcError::Busy {
            address: service.address.clone(),
            reason: "it does not know the power state".into(),
        }),
    }
}

/// Does something to the power of a system.
pub(crate) async fn set(service: &Service, system: &System, action: PowerAction) -> Result<(), Failure> {
    let target = system.body["Actions"]["#ComputerSystem.Reset"]["target"].as_str();
    let target = target.ok_or_else(|| service.protocol("the system has no action to reset it".into()))?;
    let offered = offered(service, system).await?;
    let power = state(service, system)?;
    if power == Power::Off && action == PowerAction::Soft {
        return Ok(());
    }
    let send = async |reset_type: &str| {
        change(service, Method::POST, target, &json!({"ResetType": reset_type}), None).await
    };
    match plan(action, power, offered.as_deref())? {
        // Pressed once more it would undo what is the case already.
        Plan::Reset("PushPowerButton") if wanted(action, power) == Some(power) => Ok(()),
        Plan::Reset(reset_type) => match (send(reset_type).await, wanted(action, power)) {
            (Err(failure), Some(wanted)) if objection(&failure).is_some() => {
                reached(service, &system.path, wanted, failure).await
            }
            (outcome, _) => outcome,
        },
        Plan::OffAndOn { off, on } => {
            send(off).await?;
            while state(service, &System::read(service, &system.path).await?)? == Power::On {
                tokio::time::sleep(PAUSE).await;
            }
            send(on).await
        }
    }
}

/// The state that an action ends in where it says so; none for those that are never to come twice.
fn wanted(action: PowerAction, power: Power) -> Option<Power> {
    match action {
        PowerAction::On => Some(Power::On),
        PowerAction::Off => Some(Power::Off),
        PowerAction::Cycle | PowerAction::Reset if power == Power::Off => Some(Power::On),
        PowerAction::Cycle | PowerAction::Reset | PowerAction::Soft => None,
    }
}

/// Some services refuse what is the case already, HPE's iLO for example.
async fn reached(service: &Service, path: &str, wanted: Power, failure: Failure) -> Result<(), Failure> {
    let power = state(service, &System::read(service, path).await?)?;
    if power == wanted { Ok(()) } else { Err(failure) }
}

/// The reset types that a system names, on the spot or in a resource beside it; `None` where it names none, so that all may do.
async fn offered(service: &Service, system: &System) -> Result<Option<Vec<String>>, Failure> {
    let reset = &system.body["Actions"]["#ComputerSystem.Reset"];
    if let Some(values) = values(&reset["ResetType@Redfish.AllowableValues"]) {
        return Ok(Some(values));
    }
    let info = reset["@Redfish.ActionInfo"].as_str().map(str::to_owned);
    let Some(info) = info.or_else(|| link(&reset["@Redfish.ActionInfo"])) else { return Ok(None) };
    let info = service.get(&info).await?.body;
    let mut parameters = info["Parameters"].as_array().into_iter().flatten();
    let parameter = parameters.find(|parameter| parameter["Name"] == "ResetType");
    Ok(parameter.and_then(|parameter| values(&parameter["AllowableValues"])))
}

fn values(list: &Value) -> Option<Vec<String>> {
    let list = list.as_array().filter(|list| !list.is_empty())?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// What an action comes to on a system with that power that offers those reset types.
fn plan(action: PowerAction, power: Power, offered: Option<&[String]>) -> Result<Plan, BmcError> {
    let first = |types: &[&'static str]| {
        let is_offered =
            |it: &&'static str| offered.is_none_or(|offered| offered.iter().any(|other| other == it));
        types.iter().copied().find(is_offered)
    };
    let on = || {
        first(&["On", "ForceOn", "PushPowerButton"])
            .ok_or(BmcError::Unsupported("switching on (ResetType On, ForceOn or PushPowerButton)"))
    };
    let off = || first(&["ForceOff"]).ok_or(BmcError::Unsupported("switching off hard (ResetType ForceOff)"));
    let off_and_on = || Ok(Plan::OffAndOn { off: off()?, on: on()? });
    match action {
        PowerAction::On => on().map(Plan::Reset),
        PowerAction::Off => off().map(Plan::Reset),
        PowerAction::Cycle | PowerAction::Reset if power == Power::Off => on().map(Plan::Reset),
        PowerAction::Cycle => first(&["PowerCycle"]).map_or_else(off_and_on, |it| Ok(Plan::Reset(it))),
        PowerAction::Reset => {
            first(&["ForceRestart", "PowerCycle"]).map_or_else(off_and_on, |it| Ok(Plan::Reset(it)))
        }
        PowerAction::Soft => first(&["GracefulShutdown", "PushPowerButton"])
            .map(Plan::Reset)
            .ok_or(BmcError::Unsupported("soft shutdown (ResetType GracefulShutdown or PushPowerButton)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(action: PowerAction, power: Power, offered: &str) -> Result<Plan, String> {
        let offered: Vec<String> = offered.split_whitespace().map(str::to_owned).collect();
        let offered = Some(offered.as_slice()).filter(|offered| !offered.is_empty());
        plan(action, power, offered).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_offered_is_mapped() {
        let off_and_on = |on| Plan::OffAndOn { off: "ForceOff", on };
        for (action, power, offered, expected) in [
            (PowerAction::On, Power::Off, "", Plan::Reset("On")),
            (PowerAction::On, Power::Off, "ForceOn ForceOff", Plan::Reset("ForceOn")),
            (PowerAction::On, Power::Off, "PushPowerButton", Plan::Reset("PushPowerButton")),
            (PowerAction::Off, Power::On, "On ForceOff", Plan::Reset("ForceOff")),
            (PowerAction::Cycle, Power::On, "On ForceOff PowerCycle", Plan::Reset("PowerCycle")),
            (PowerAction::Cycle, Power::On, "On ForceOff ForceRestart", off_and_on("On")),
            (PowerAction::Cycle, Power::On, "ForceOn ForceOff", off_and_on("ForceOn")),
            (PowerAction::Cycle, Power::Off, "On ForceOff PowerCycle", Plan::Reset("On")),
            (PowerAction::Reset, Power::On, "", Plan::Reset("ForceRestart")),
            (PowerAction::Reset, Power::On, "On ForceOff PowerCycle", Plan::Reset("PowerCycle")),
            (PowerAction::Reset, Power::On, "On ForceOff", off_and_on("On")),
            (PowerAction::Reset, Power::Off, "On ForceRestart", Plan::Reset("On")),
            (PowerAction::Soft, Power::On, "On GracefulShutdown", Plan::Reset("GracefulShutdown")),
            (PowerAction::Soft, Power::On, "On PushPowerButton", Plan::Reset("PushPowerButton")),
        ] {
            assert_eq!(planned(action, power, offered), Ok(expected), "{action:?} of {offered:?}");
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_refused_in_words() {
        for (action, offered, says) in [
            (PowerAction::On, "ForceOff", "switching on (ResetType On"),
            (PowerAction::Off, "On PushPowerButton", "switching off hard (ResetType ForceOff)"),
            (PowerAction::Cycle, "On GracefulShutdown", "switching off hard (ResetType ForceOff)"),
            (PowerAction::Soft, "On ForceOff", "soft shutdown (ResetType GracefulShutdown"),
        ] {
            let words = planned(action, Power::On, offered).expect_err(says);
            assert!(words.starts_with(says) && words.ends_with("is not supported by this BMC"), "{words}");
        }
    }
}
