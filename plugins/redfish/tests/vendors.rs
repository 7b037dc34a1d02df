//! Services shaped as vendors' public documentation and their users' reports show them. What is particular is data.

use mrp_core::bmc::{Bmc, BmcError, BootDevice, BootOverride, Node, Power, PowerAction};
use serde_json::{Value, json};

use crate::support::machine::{Machine, Refused, refused};
use crate::support::service::{Etags, Shape, Tasks};
use crate::support::start;

const TARGET: &str = "BootSourceOverrideTarget";
const ENABLED: &str = "BootSourceOverrideEnabled";
const MODE: &str = "BootSourceOverrideMode";

fn node() -> Node {
    Node::default()
}

fn boot(device: BootDevice, efi: bool, persistent: bool) -> Option<BootOverride> {
    Some(BootOverride { device, efi, persistent })
}

/// What is set is read back, and so is that nothing is.
async fn keeps(bmc: &dyn Bmc, overrides: &[Option<BootOverride>]) {
    for wanted in overrides.iter().chain([&None]) {
        bmc.set_boot(&node(), *wanted).await.unwrap_or_else(|error| panic!("{wanted:?}: {error}"));
        assert_eq!(bmc.boot(&node()).await.unwrap(), *wanted);
    }
}

/// The refusal of a property, named as the specification has it.
fn not_writable(property: &str) -> Refused {
    let words = format!("The property {property} is a read only property and cannot be assigned a value.");
    let mut refused = refused(400, "Base.1.8.PropertyNotWritable", &words);
    refused.body["error"]["@Message.ExtendedInfo"][0]["RelatedProperties"] =
        json!([format!("#/Boot/{property}")]);
    refused
}

/// iDRAC: a long path; no target without the mode; it answers the mode with a reason of Dell's own where firmware fixes it.
#[tokio::test]
async fn dell_idrac_wants_the_mode_and_may_not_let_it_be_changed() {
    fn needs_mode(boot: &Value, _: &Machine) -> Result<(), Refused> {
        match boot.get(MODE) {
            Some(_) => Ok(()),
            None => Err(refused(
                400,
                "Base.1.8.PropertyMissing",
                "The property BootSourceOverrideMode is missing.",
            )),
        }
    }
    fn fixes_mode(boot: &Value, _: &Machine) -> Result<(), Refused> {
        let Some(_) = boot.get(MODE) else { return Ok(()) };
        let mut refused = refused(
            400,
            "IDRAC.2.5.SYS410",
            "Unable to modify the attribute because the attribute is read-only and depends on other attributes.",
        );
        refused.body["error"]["@Message.ExtendedInfo"][0]["MessageArgs"] = json!([MODE]);
        Err(refused)
    }
    let shape = Shape {
        systems: vec!["System.Embedded.1"],
        system: json!({"Actions": {"#ComputerSystem.Reset": {"ResetType@Redfish.AllowableValues":
            ["On", "ForceOff", "ForceRestart", "GracefulRestart", "GracefulShutdown", "PushPowerButton", "Nmi", "PowerCycle"]}}}),
        boot_rule: needs_mode,
        ..Shape::default()
    };
    let (simulator, bmc) = start(shape.clone()).await;
    keeps(&bmc, &[boot(BootDevice::Pxe, true, false), boot(BootDevice::Disk, false, true)]).await;
    let path = "GET /redfish/v1/Systems/System.Embedded.1".to_owned();
    assert!(simulator.lines().contains(&path), "its path was found");
    let (_simulator, bmc) = start(Shape { boot_rule: fixes_mode, ..shape }).await;
    keeps(&bmc, &[boot(BootDevice::Pxe, true, false)]).await;
    let error = bmc.set_boot(&node(), boot(BootDevice::Pxe, false, false)).await.unwrap_err().to_string();
    assert!(error.contains("HTTP 400: Unable to modify the attribute"), "{error}");
}

/// iLO: sessions and tasks under a name of its own; the mode is no one's to write; what is the case already is refused, by an
/// id without a text; no GracefulShutdown, but a power button.
#[tokio::test]
async fn hpe_ilo_refuses_what_is_the_case_and_has_a_button() {
    fn mode_is_read_only(boot: &Value, _: &Machine) -> Result<(), Refused> {
        if boot.get(MODE).is_some() { Err(not_writable(MODE)) } else { Ok(()) }
    }
    fn refuses_the_same(reset_type: &str, machine: &Machine) -> Result<(), Refused> {
        match (reset_type, machine.on) {
            ("On", true) | ("ForceOff" | "ForceRestart", false) => {
                let mut refused = refused(400, "iLO.2.14.InvalidOperationForSystemState", "");
                refused.body["error"] = json!({
                    "code": "iLO.0.10.ExtendedInfo", "message": "See @Message.ExtendedInfo for more information.",
                    "@Message.ExtendedInfo": [{"MessageId": "iLO.2.14.InvalidOperationForSystemState"}],
                });
                Err(refused)
            }
            _ => Ok(()),
        }
    }
    let shape = Shape {
        origin: "https://ilo-1.example.org",
        tasks: Some(Tasks::Monitor(0)),
        system: json!({"Actions": {"#ComputerSystem.Reset": {
            "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart", "Nmi", "PushPowerButton"]}}}),
        boot_rule: mode_is_read_only,
        reset_rule: refuses_the_same,
        ..Shape::default()
    };
    let (simulator, bmc) = start(shape).await;
    for (action, power) in [
        (PowerAction::Off, Power::Off),
        (PowerAction::On, Power::On),
        (PowerAction::On, Power::On),
        (PowerAction::Reset, Power::On),
        (PowerAction::Soft, Power::Off),
        (PowerAction::Soft, Power::Off),
        (PowerAction::Off, Power::Off),
        (PowerAction::Reset, Power::On),
    ] {
        bmc.set_power(&node(), action).await.unwrap_or_else(|error| panic!("{action:?}: {error}"));
        assert_eq!(bmc.power(&node()).await.unwrap(), power, "{action:?}");
    }
    assert_eq!(simulator.lock().machines[0].resets, ["On", "ForceRestart", "PushPowerButton", "On"]);
    keeps(&bmc, &[boot(BootDevice::Bios, true, false), boot(BootDevice::Pxe, true, true)]).await;
    bmc.close().await;
    assert!(
        simulator.lock().tokens.is_empty(),
        "the session was found under the name that leads to it from here"
    );
}

/// Supermicro: target and duration together, and a mode that is not named falls back to legacy; its boards of the X10
/// generation have no mode.
#[tokio::test]
async fn supermicro_needs_target_duration_and_mode_together() {
    fn all_or_nothing(boot: &Value, _: &Machine) -> Result<(), Refused> {
        match boot.get(TARGET).is_some() && boot.get(ENABLED).is_some() && boot.get(MODE).is_some() {
            true => Ok(()),
            false => Err(refused(400, "Base.1.4.PropertyMissing", "Properties are missing.")),
        }
    }
    let (_simulator, bmc) = start(Shape { boot_rule: all_or_nothing, ..Shape::default() }).await;
    keeps(&bmc, &[boot(BootDevice::Pxe, true, false), boot(BootDevice::Disk, true, true)]).await;
    let no_mode = json!({"Boot": {MODE: null, "BootSourceOverrideMode@Redfish.AllowableValues": null}});
    let (simulator, bmc) = start(Shape { system: no_mode, ..Shape::default() }).await;
    bmc.set_boot(&node(), boot(BootDevice::Pxe, true, false)).await.unwrap();
    let sent = &simulator.seen("PATCH /redfish/v1/Systems/1")[0].body;
    assert_eq!(*sent, json!({"Boot": {TARGET: "Pxe", ENABLED: "Once"}}));
    let error = bmc.boot(&node()).await.unwrap_err();
    assert!(
        matches!(error, BmcError::Unsupported("reading back the boot mode (BootSourceOverrideMode)")),
        "{error}"
    );
    bmc.set_boot(&node(), None).await.unwrap();
    assert_eq!(bmc.boot(&node()).await.unwrap(), None);
}

/// OpenBMC: one system called `system`, reset types in a resource of their own, no ETag, a console over SSH and IPMI.
#[tokio::test]
async fn openbmc_has_its_reset_types_elsewhere() {
    let info = "/redfish/v1/Systems/system/ResetActionInfo";
    let values = [
        "On",
        "ForceOff",
        "ForceOn",
        "ForceRestart",
        "GracefulRestart",
        "GracefulShutdown",
        "PowerCycle",
        "Nmi",
    ];
    let shape = Shape {
        systems: vec!["system"],
        etags: Etags::None,
        system: json!({
            "PowerState": "Off",
            "Actions": {"#ComputerSystem.Reset":
                {"ResetType@Redfish.AllowableValues": null, "@Redfish.ActionInfo": info}},
            "Boot": {"BootSourceOverrideEnabled@Redfish.AllowableValues": ["Once", "Continuous", "Disabled"]},
        }),
        resources: vec![(
            info,
            json!({"Id": "ResetActionInfo", "Parameters":
            [{"Name": "ResetType", "Required": true, "DataType": "String", "AllowableValues": values}]}),
        )],
        ..Shape::default()
    };
    let (simulator, bmc) = start(shape).await;
    bmc.set_power(&node(), PowerAction::Soft).await.unwrap();
    bmc.set_power(&node(), PowerAction::Cycle).await.unwrap();
    assert_eq!(
        simulator.lock().machines[0].resets,
        ["On"],
        "what is off is not shut down, and switched on by a cycle"
    );
    keeps(&bmc, &[boot(BootDevice::Bios, false, false), boot(BootDevice::Disk, true, true)]).await;
}

/// AMI's MegaRAC, which Lenovo's TSM and Gigabyte's boards have: the boot device is set at a resource beside the system.
#[tokio::test]
async fn ami_megarac_takes_the_boot_device_at_its_settings_object() {
    let settings = "/redfish/v1/Systems/Self/SD";
    let annotation =
        json!({"@odata.type": "#Settings.v1_2_2.Settings", "SettingsObject": {"@odata.id": settings}});
    let shape = Shape {
        systems: vec!["Self"],
        settings: Some(settings),
        system: json!({"@Redfish.Settings": annotation}),
        ..Shape::default()
    };
    let (simulator, bmc) = start(shape).await;
    keeps(&bmc, &[boot(BootDevice::Pxe, true, false)]).await;
    assert_eq!(simulator.seen(&format!("PATCH {settings}"))[0].if_match.as_deref(), Some("\"1\""));
}
