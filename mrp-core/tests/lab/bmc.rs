//! A BMC in memory, with faults on demand. The service opens it by its address.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootOverride, Capabilities, Console, Node, OpenBmc, Power, PowerAction,
};
use tokio::sync::watch;

use super::serial::Serial;

/// What is wrong with a BMC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Nobody answers.
    Silent,
    /// The answers are no protocol.
    Garbage,
    /// Boot devices are accepted and forgotten.
    ForgetsBoot,
    /// Setting the boot device never ends.
    HangsAtBoot,
    /// The power command is taken; reading the power after it never ends.
    HangsAfterPower,
    /// The power command is taken; reading the power after it fails.
    BusyAfterPower,
}

#[derive(Debug)]
struct State {
    power: Power,
    boot: Option<BootOverride>,
    commands: Vec<String>,
    logins: u32,
}

#[derive(Debug)]
struct Inner {
    address: String,
    state: Mutex<State>,
    fault: watch::Sender<Fault>,
    serial: Serial,
    has_console: AtomicBool,
}

/// Clones are the same BMC.
#[derive(Debug, Clone)]
pub(crate) struct FakeBmc {
    inner: Arc<Inner>,
    password_is_right: bool,
}

static BMCS: LazyLock<Mutex<HashMap<String, Arc<Inner>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU32 = AtomicU32::new(1);

impl FakeBmc {
    pub(crate) fn new() -> Self {
        let address = format!("bmc-{}", NEXT.fetch_add(1, Ordering::SeqCst));
        let state = State { power: Power::Off, boot: None, commands: Vec::new(), logins: 0 };
        let fault = watch::Sender::new(Fault::None);
        let (serial, has_console) = (Serial::new(&address), AtomicBool::new(false));
        let inner = Arc::new(Inner {
            address: address.clone(),
            state: Mutex::new(state),
            fault,
            serial,
            has_console,
        });
        BMCS.lock().unwrap().insert(address, inner.clone());
        Self { inner, password_is_right: true }
    }

    pub(crate) fn address(&self) -> String {
        self.inner.address.clone()
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.inner.fault.send_replace(fault);
    }

    /// Somebody is at the machine itself, and switches it on.
    pub(crate) fn press_power(&self) {
        self.inner.state.lock().unwrap().power = Power::On;
    }

    /// Its serial console, which it has from here on.
    pub(crate) fn serial(&self) -> &Serial {
        self.inner.has_console.store(true, Ordering::SeqCst);
        &self.inner.serial
    }

    /// The power commands that were taken, in order.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.inner.state.lock().unwrap().commands.clone()
    }

    pub(crate) fn boot_device(&self) -> Option<BootOverride> {
        self.inner.state.lock().unwrap().boot
    }

    /// How often a password was tried.
    pub(crate) fn logins(&self) -> u32 {
        self.inner.state.lock().unwrap().logins
    }

    fn fault(&self) -> Fault {
        *self.inner.fault.borrow()
    }

    /// Waits while a fault lasts.
    async fn hang(&self, during: Fault) {
        let mut fault = self.inner.fault.subscribe();
        fault.wait_for(|fault| *fault != during).await.expect("the sender lives as long as the BMC");
    }

    fn check(&self) -> Result<(), BmcError> {
        let address = self.address();
        self.inner.state.lock().unwrap().logins += 1;
        match self.fault() {
            Fault::Silent => Err(BmcError::Unreachable { address }),
            Fault::Garbage => Err(BmcError::Protocol { address, reason: "a message of 3 bytes".into() }),
            _ if !self.password_is_right => {
                Err(BmcError::Unauthorized { address, reason: "wrong password".into() })
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Bmc for FakeBmc {
    fn capabilities(&self) -> Capabilities {
        let console = self.inner.has_console.load(Ordering::SeqCst);
        Capabilities { reset: true, soft_power: true, set_boot: true, read_boot: true, console }
    }

    async fn power(&self, _node: &Node) -> Result<Power, BmcError> {
        self.check()?;
        self.hang(Fault::HangsAfterPower).await;
        if self.fault() == Fault::BusyAfterPower {
            return Err(BmcError::Busy { address: self.address(), reason: "restarting".into() });
        }
        Ok(self.inner.state.lock().unwrap().power)
    }

    async fn set_power(&self, _node: &Node, action: PowerAction) -> Result<(), BmcError> {
        self.check()?;
        let mut state = self.inner.state.lock().unwrap();
        state.commands.push(format!("{action:?}").to_lowercase());
        state.power = match action {
            PowerAction::Off | PowerAction::Soft => Power::Off,
            _ => Power::On,
        };
        Ok(())
    }

    async fn set_boot(&self, _node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        self.check()?;
        self.hang(Fault::HangsAtBoot).await;
        if self.fault() != Fault::ForgetsBoot {
            self.inner.state.lock().unwrap().boot = boot;
        }
        Ok(())
    }

    async fn boot(&self, _node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.check()?;
        Ok(self.inner.state.lock().unwrap().boot)
    }

    async fn open_console(&self, _node: &Node) -> Result<Console, BmcError> {
        self.check()?;
        self.inner.serial.open()
    }

    async fn reset_console(&self, _node: &Node) -> Result<(), BmcError> {
        self.check()?;
        self.inner.serial.reset().await;
        Ok(())
    }
}

#[async_trait]
impl OpenBmc for FakeBmc {
    const DRIVER: &'static str = "fake";

    fn options() -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }

    fn node() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": "^(|slot-[1-8])$", "description": "nothing, or slot-1 to slot-8"})
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        let found = BMCS.lock().unwrap().get(&config.address).cloned();
        let inner = found.ok_or_else(|| BmcError::Config(format!("no BMC at {}", config.address)))?;
        Ok(Self { inner, password_is_right: config.password.expose() == super::BMC_PASSWORD })
    }
}
