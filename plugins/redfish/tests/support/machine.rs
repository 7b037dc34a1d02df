//! A simulated machine and its resource, and what refusals look like.

use serde_json::{Value, json};

/// What a machine is set to.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) on: bool,
    /// `Boot`'s three properties.
    pub(crate) boot: Value,
    pub(crate) version: u32,
    /// The reset types that it got.
    pub(crate) resets: Vec<String>,
}

/// A status code of 400 or more, and its body.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// A refusal with one message, as the specification has it.
pub(crate) fn refused(status: u16, id: &str, message: &str) -> Refused {
    let info = json!([{"MessageId": id, "Message": message, "Resolution": "None"}]);
    let error = json!({"code": "Base.1.8.GeneralError", "message": "See ExtendedInfo.", "@Message.ExtendedInfo": info});
    Refused { status, body: json!({"error": error}) }
}

impl Default for Machine {
    fn default() -> Self {
        let boot = json!({
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideMode": "UEFI",
        });
        Self { on: false, boot, version: 1, resets: Vec::new() }
    }
}

impl Machine {
    pub(crate) fn resource(&self, path: &str, name: &str) -> Value {
        let mut system = json!({
            "@odata.id": path,
            "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
            "Id": name,
            "PowerState": if self.on { "On" } else { "Off" },
            "Boot": {
                "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "Cd", "BiosSetup"],
                "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI", "Legacy"],
            },
            "Actions": {"#ComputerSystem.Reset": {
                "target": format!("{path}/Actions/ComputerSystem.Reset"),
                "ResetType@Redfish.AllowableValues":
                    ["On", "ForceOff", "GracefulShutdown", "ForceRestart", "PowerCycle", "PushPowerButton"],
            }},
        });
        merge(&mut system["Boot"], &self.boot);
        system
    }

    pub(crate) fn reset(&mut self, reset_type: &str) {
        self.on = match reset_type {
            "ForceOff" | "GracefulShutdown" => false,
            "PushPowerButton" => !self.on,
            _ => true,
        };
        self.version += 1;
        self.resets.push(reset_type.to_owned());
    }

    pub(crate) fn set_boot(&mut self, boot: &Value) {
        merge(&mut self.boot, boot);
        if self.boot["BootSourceOverrideTarget"] == "None" {
            self.boot["BootSourceOverrideEnabled"] = json!("Disabled");
        }
        self.version += 1;
    }
}

/// JSON Merge Patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.as_object_mut().unwrap().remove(key);
            }
            value => merge(&mut target[key], value),
        }
    }
}
