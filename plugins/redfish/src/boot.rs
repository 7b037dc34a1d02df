//! The boot override (DSP2046, ComputerSystem: Boot).

use mrp_core::bmc::{BmcError, BootDevice, BootOverride};
use serde_json::{Map, Value, json};

use super::answer::Failure;
use super::service::Service;
use super::system::{System, objection};

const TARGET: &str = "BootSourceOverrideTarget";
const ENABLED: &str = "BootSourceOverrideEnabled";
const MODE: &str = "BootSourceOverrideMode";

/// Sets the boot override of a system, or removes it.
///
/// Target, duration and mode go in one request, also to remove it: Supermicro's firmware takes no target without the duration
/// and sets back a mode that is not named, Dell's iDRAC takes none without the mode. A property that the service refuses
/// though it has that value already is then left out: HPE's iLO and newer iDRACs do not let the mode be written.
pub(crate) async fn set(
    service: &Service,
    system: &System,
    boot: Option<BootOverride>,
) -> Result<(), Failure> {
    let current = &system.body["Boot"];
    let mut wanted = properties(current, boot)?;
    loop {
        let failure = match system.patch(service, &json!({"Boot": wanted})).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let Some(refusal) = objection(&failure) else { return Err(failure) };
        let spare = |property: &&str| {
            wanted.len() > 1
                && wanted.contains_key(*property)
                && refusal.is_about(property)
                && (current[*property] == wanted[*property] || boot.is_none())
        };
        let Some(property) = [MODE, TARGET, ENABLED].iter().find(|property| spare(property)) else {
            return Err(failure);
        };
        wanted.remove(*property);
    }
}

/// What a boot override comes to, beside what there is.
fn properties(current: &Value, boot: Option<BootOverride>) -> Result<Map<String, Value>, BmcError> {
    let mut wanted = Map::new();
    if !current.is_object() {
        return Err(BmcError::Unsupported("setting the boot device (the system has no Boot)"));
    }
    let Some(boot) = boot else {
        wanted.insert(TARGET.into(), json!("None"));
        wanted.insert(ENABLED.into(), json!("Disabled"));
        if let Some(mode) = current[MODE].as_str() {
            wanted.insert(MODE.into(), json!(mode));
        }
        return Ok(wanted);
    };
    let target = target(boot.device);
    if !allows(current, TARGET, target) {
        return Err(BmcError::Unsupported(match boot.device {
            BootDevice::Pxe => "booting from the network (BootSourceOverrideTarget Pxe)",
            BootDevice::Disk => "booting from the disk (BootSourceOverrideTarget Hdd)",
            BootDevice::Bios => "booting into the set-up screen (BootSourceOverrideTarget BiosSetup)",
        }));
    }
    let enabled = if boot.persistent { "Continuous" } else { "Once" };
    if !allows(current, ENABLED, enabled) {
        return Err(BmcError::Unsupported(match boot.persistent {
            true => "a boot device for every boot (BootSourceOverrideEnabled Continuous)",
            false => "a boot device for one boot (BootSourceOverrideEnabled Once)",
        }));
    }
    wanted.insert(TARGET.into(), json!(target));
    wanted.insert(ENABLED.into(), json!(enabled));
    let mode = if boot.efi { "UEFI" } else { "Legacy" };
    // Services of before 2016 have no mode: their firmware boots in that which it is set to.
    if current.get(MODE).is_some() {
        if !allows(current, MODE, mode) {
            return Err(BmcError::Unsupported(match boot.efi {
                true => "booting in EFI mode (BootSourceOverrideMode UEFI)",
                false => "booting in legacy mode (BootSourceOverrideMode Legacy)",
            }));
        }
        wanted.insert(MODE.into(), json!(mode));
    }
    Ok(wanted)
}

/// Whether a property may have a value, as far as the system says.
fn allows(current: &Value, property: &str, value: &str) -> bool {
    let allowed = current[format!("{property}@Redfish.AllowableValues")].as_array();
    allowed.is_none_or(|allowed| allowed.is_empty() || allowed.iter().any(|other| other == value))
}

fn target(device: BootDevice) -> &'static str {
    match device {
        BootDevice::Pxe => "Pxe",
        BootDevice::Disk => "Hdd",
        BootDevice::Bios => "BiosSetup",
    }
}

/// The boot override in force.
pub(crate) fn read(service: &Service, system: &System) -> Result<Option<BootOverride>, BmcError> {
    let current = &system.body["Boot"];
    let persistent = match current[ENABLED].as_str() {
        Some("Once") => false,
        Some("Continuous") => true,
        Some("Disabled") => return Ok(None),
        Some(other) => return Err(service.protocol(format!("{ENABLED} is {other:?}"))),
        None if current.is_object() => return Ok(None),
        None => return Err(BmcError::Unsupported("reading the boot device (the system has no Boot)")),
    };
    let device = match current[TARGET].as_str() {
        Some("Pxe") => BootDevice::Pxe,
        Some("Hdd") => BootDevice::Disk,
        Some("BiosSetup") => BootDevice::Bios,
        Some("None") | None => return Ok(None),
        Some(_) => {
            return Err(BmcError::Unsupported("reading back a boot device other than pxe, disk and bios"));
        }
    };
    let efi = match current[MODE].as_str() {
        Some("UEFI") => true,
        Some("Legacy") => false,
        _ => return Err(BmcError::Unsupported("reading back the boot mode (BootSourceOverrideMode)")),
    };
    Ok(Some(BootOverride { device, efi, persistent }))
}
