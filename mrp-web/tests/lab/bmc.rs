//! A BMC in memory: the driver of the lab. By address: `127.0.0.1` works, `127.0.0.98` and `.99` are silent,
//! `127.0.0.97` breaks the protocol, `127.0.0.96` is slow. The one that works has a serial console, which sends back what is
//! typed.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootOverride, Capabilities, Console, ConsoleInput, Drivers, Node, OpenBmc,
    Power, PowerAction,
};
use tokio::sync::mpsc;

/// The password that BMCs had in the recording.
const RECORDED_PASSWORD: &str = "linaro";

pub(crate) fn drivers() -> Drivers {
    Drivers::new().with::<MemoryBmc<false>>().with::<MemoryBmc<true>>()
}

#[derive(Debug)]
pub(crate) struct MemoryBmc<const MOONSHOT: bool> {
    address: String,
    password_is_right: bool,
    power: Mutex<Power>,
    boot: Mutex<Option<BootOverride>>,
    console: Mutex<Option<mpsc::Sender<Result<Bytes, BmcError>>>>,
}

impl<const MOONSHOT: bool> MemoryBmc<MOONSHOT> {
    async fn reach(&self) -> Result<(), BmcError> {
        let address = self.address.clone();
        match self.address.as_str() {
            "127.0.0.97" => {
                return Err(BmcError::Protocol { address, reason: "an answer of no sense".into() });
            }
            "127.0.0.96" => tokio::time::sleep(Duration::from_millis(1500)).await,
            "127.0.0.98" | "127.0.0.99" => return Err(BmcError::Unreachable { address }),
            _ => {}
        }
        if self.password_is_right {
            return Ok(());
        }
        Err(BmcError::Unauthorized { address, reason: "wrong password".into() })
    }
}

#[async_trait]
impl<const MOONSHOT: bool> Bmc for MemoryBmc<MOONSHOT> {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reset: true,
            soft_power: true,
            set_boot: true,
            read_boot: true,
            console: self.address == "127.0.0.1",
        }
    }

    async fn power(&self, _node: &Node) -> Result<Power, BmcError> {
        self.reach().await?;
        Ok(*self.power.lock().unwrap())
    }

    async fn set_power(&self, _node: &Node, action: PowerAction) -> Result<(), BmcError> {
        self.reach().await?;
        *self.power.lock().unwrap() = match action {
            PowerAction::Off | PowerAction::Soft => Power::Off,
            PowerAction::On | PowerAction::Cycle | PowerAction::Reset => Power::On,
        };
        Ok(())
    }

    async fn set_boot(&self, _node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        self.reach().await?;
        *self.boot.lock().unwrap() = boot;
        Ok(())
    }

    async fn boot(&self, _node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.reach().await?;
        Ok(*self.boot.lock().unwrap())
    }

    async fn open_console(&self, _node: &Node) -> Result<Console, BmcError> {
        self.reach().await?;
        let (output, reader) = mpsc::channel(32);
        let (input, mut typed) = mpsc::channel(32);
        let before = self.console.lock().unwrap().replace(output.clone());
        if before.is_some_and(|before| !before.is_closed()) {
            return Err(BmcError::ConsoleTaken { address: self.address.clone(), session: None });
        }
        let echo = output.downgrade();
        tokio::spawn(async move {
            while let (Some(input), Some(output)) = (typed.recv().await, echo.upgrade()) {
                let bytes = match input {
                    ConsoleInput::Bytes(bytes) => bytes,
                    ConsoleInput::Break => Bytes::from_static(b"<break>"),
                };
                let _ = output.send(Ok(bytes)).await;
            }
        });
        Ok(Console { output: reader, input, session: None })
    }

    async fn reset_console(&self, _node: &Node) -> Result<(), BmcError> {
        self.reach().await?;
        let before = self.console.lock().unwrap().take();
        if let Some(before) = before {
            let _ = before
                .send(Err(BmcError::ConsoleTaken { address: self.address.clone(), session: None }))
                .await;
        }
        Ok(())
    }
}

#[async_trait]
impl<const MOONSHOT: bool> OpenBmc for MemoryBmc<MOONSHOT> {
    const DRIVER: &'static str = if MOONSHOT { "moonshot" } else { "plain" };

    fn options() -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        Ok(Self {
            address: config.address,
            password_is_right: config.password == super::bmc_password()
                || config.password.expose() == RECORDED_PASSWORD,
            power: Mutex::new(Power::On),
            boot: Mutex::new(None),
            console: Mutex::default(),
        })
    }
}
