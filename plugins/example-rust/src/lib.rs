//! mrp plugin `example-rust`: a BMC that takes a line of text over TCP and answers one.
//!
//! Replace `ExampleRustBmc::ask` with what your BMC speaks.

use std::time::Duration;

use async_trait::async_trait;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootDevice, BootOverride, Capabilities, Node, OpenBmc, Power, PowerAction,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

mrp_core::export_bmc!(ExampleRustBmc);

/// One BMC.
#[derive(Debug)]
pub struct ExampleRustBmc {
    config: BmcConfig,
    options: Options,
}

#[derive(Debug, Deserialize)]
struct Options {
    #[serde(default = "ten_seconds")]
    timeout_s: u64,
}

fn ten_seconds() -> u64 {
    10
}

#[async_trait]
impl OpenBmc for ExampleRustBmc {
    const DRIVER: &'static str = "example-rust";

    fn options() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "timeout_s": {
                    "type": "integer", "minimum": 1, "maximum": 60, "default": 10,
                    "description": "How long the BMC may take to answer."
                }
            }
        })
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        let options = serde_json::from_value(Value::Object(config.options.clone()));
        let options = options.map_err(|error| BmcError::Config(error.to_string()))?;
        Ok(Self { config, options })
    }
}

#[async_trait]
impl Bmc for ExampleRustBmc {
    fn capabilities(&self) -> Capabilities {
        Capabilities { reset: true, soft_power: true, set_boot: true, read_boot: true, console: false }
    }

    async fn power(&self, _: &Node) -> Result<Power, BmcError> {
        match self.ask("power").await?.as_str() {
            "on" => Ok(Power::On),
            "off" => Ok(Power::Off),
            other => Err(self.protocol(format!("the power is {other:?}"))),
        }
    }

    async fn set_power(&self, _: &Node, action: PowerAction) -> Result<(), BmcError> {
        let action = match action {
            PowerAction::On => "on",
            PowerAction::Off => "off",
            PowerAction::Cycle => "cycle",
            PowerAction::Reset => "reset",
            PowerAction::Soft => "soft",
        };
        self.ask(&format!("power {action}")).await.map(|_| ())
    }

    async fn set_boot(&self, _: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        let words = boot.map_or_else(
            || "none".to_owned(),
            |boot| {
                let mode = if boot.efi { "efi" } else { "legacy" };
                let times = if boot.persistent { "always" } else { "once" };
                format!("{} {mode} {times}", boot.device)
            },
        );
        self.ask(&format!("boot {words}")).await.map(|_| ())
    }

    async fn boot(&self, _: &Node) -> Result<Option<BootOverride>, BmcError> {
        let answer = self.ask("boot").await?;
        let words: Vec<&str> = answer.split(' ').collect();
        let (device, mode, times) = match words.as_slice() {
            ["none"] => return Ok(None),
            ["pxe", mode, times] => (BootDevice::Pxe, mode, times),
            ["disk", mode, times] => (BootDevice::Disk, mode, times),
            ["bios", mode, times] => (BootDevice::Bios, mode, times),
            _ => return Err(self.protocol(format!("the boot device is {answer:?}"))),
        };
        Ok(Some(BootOverride { device, efi: *mode == "efi", persistent: *times == "always" }))
    }
}

impl ExampleRustBmc {
    /// Logs in, asks, and answers with the words behind `ok`.
    async fn ask(&self, command: &str) -> Result<String, BmcError> {
        let address = self.config.address.clone();
        let patience = Duration::from_secs(self.options.timeout_s);
        match tokio::time::timeout(patience, self.exchange(command)).await {
            Err(_) => Err(BmcError::Timeout { address, operation: "the command" }),
            Ok(Err(_)) => Err(BmcError::Unreachable { address }),
            Ok(Ok(line)) => match line.trim_end().split_once(' ') {
                Some(("ok", words)) => Ok(words.to_owned()),
                Some(("denied", words)) => Err(BmcError::Unauthorized { address, reason: words.to_owned() }),
                _ => Err(self.protocol(format!("{command:?} is answered with {line:?}"))),
            },
        }
    }

    async fn exchange(&self, command: &str) -> std::io::Result<String> {
        let mut bmc = BufReader::new(TcpStream::connect(&self.config.address).await?);
        let (user, password) = (&self.config.username, self.config.password.expose());
        bmc.write_all(format!("{user} {password} {command}\n").as_bytes()).await?;
        let mut line = String::new();
        bmc.read_line(&mut line).await?;
        Ok(line)
    }

    fn protocol(&self, reason: String) -> BmcError {
        BmcError::Protocol { address: self.config.address.clone(), reason }
    }
}
