//! A BMC behind a plugin.

use std::sync::Arc;

use async_trait::async_trait;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootOverride, Capabilities, Console, Node, Power, PowerAction,
};
use mrp_core::plugin::message::{
    BootReply, Empty, NodeRequest, OpenReply, PowerReply, Reply, SetBootRequest, SetPowerRequest,
};
use mrp_core::plugin::{Operation, PluginError, Request};
use tokio::sync::Mutex;

use super::client::Client;
use super::supervisor::Plugin;

/// A BMC that a plugin drives.
///
/// A plugin that was started anew is told of the BMC again at the next call. Its declarations are held against its answers.
#[derive(Debug)]
pub struct PluginBmc {
    plugin: Arc<Plugin>,
    config: BmcConfig,
    capabilities: Capabilities,
    /// The plugin that knows the BMC, and under which number.
    known: Mutex<Option<(Arc<Client>, u64)>>,
}

impl PluginBmc {
    pub(super) async fn open(plugin: Arc<Plugin>, config: BmcConfig) -> Result<Self, BmcError> {
        let capabilities = plugin.hello().capabilities;
        let mut bmc = Self { plugin, config, capabilities, known: Mutex::new(None) };
        let opened = bmc.introduce().await.map_err(|error| bmc.error(error, Operation::Open))?;
        bmc.capabilities = opened.2.unwrap_or(capabilities);
        Ok(bmc)
    }

    /// The plugin as it runs, the BMC's number, and what the BMC can do if it was made known just now.
    async fn introduce(&self) -> Result<(Arc<Client>, u64, Option<Capabilities>), PluginError> {
        let client = self.plugin.client().await?;
        let mut known = self.known.lock().await;
        if let Some((known, instance)) = &*known
            && known.generation == client.generation
        {
            return Ok((client, *instance, None));
        }
        let instance = client.number();
        let reply: OpenReply = client.call(instance, &Request::Open((&self.config).into())).await?;
        *known = Some((client.clone(), instance));
        Ok((client, instance, reply.capabilities))
    }

    async fn ask<R: Reply>(&self, request: Request) -> Result<R, BmcError> {
        let asked = async {
            let (client, instance, _) = self.introduce().await?;
            client.call(instance, &request).await
        };
        asked.await.map_err(|error| self.error(error, request.operation()))
    }

    fn error(&self, error: PluginError, operation: Operation) -> BmcError {
        error.into_bmc_error(&self.plugin.hello().driver, &self.config.address, operation)
    }

    /// Holds an answer against what was declared.
    fn held<T>(&self, declared: bool, ability: &str, answer: Result<T, BmcError>) -> Result<T, BmcError> {
        let reason = match &answer {
            Err(BmcError::Unsupported(_)) if declared => {
                format!("it declares {ability}, but answers that it is unsupported")
            }
            Ok(_) if !declared => format!("it does not declare {ability}, but answers with success"),
            _ => return answer,
        };
        Err(BmcError::Driver { driver: self.plugin.hello().driver.clone(), reason })
    }
}

#[async_trait]
impl Bmc for PluginBmc {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        let answer = self.ask::<PowerReply>(Request::Power(about(node))).await;
        self.held(true, "power", answer).map(|reply| reply.power)
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        let request = SetPowerRequest { node: node.0.clone(), action };
        let answer = self.ask::<Empty>(Request::SetPower(request)).await.map(|_| ());
        match action {
            PowerAction::Soft => self.held(self.capabilities.soft_power, "soft_power", answer),
            // Undeclared, it may be that of a cycle or unsupported.
            PowerAction::Reset if !self.capabilities.reset => answer,
            PowerAction::Reset => self.held(true, "reset", answer),
            PowerAction::On | PowerAction::Off | PowerAction::Cycle => self.held(true, "set_power", answer),
        }
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        let request = SetBootRequest { node: node.0.clone(), boot };
        let answer = self.ask::<Empty>(Request::SetBoot(request)).await.map(|_| ());
        self.held(self.capabilities.set_boot, "set_boot", answer)
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        let answer = self.ask::<BootReply>(Request::Boot(about(node))).await;
        self.held(self.capabilities.read_boot, "read_boot", answer).map(|reply| reply.boot)
    }

    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        let opened = async {
            let (client, instance, _) = self.introduce().await?;
            let (driver, address) = (self.plugin.hello().driver.clone(), self.config.address.clone());
            let named =
                move |error: PluginError| error.into_bmc_error(&driver, &address, Operation::OpenConsole);
            client.open_console(instance, &Request::OpenConsole(about(node)), named).await
        };
        let answer = opened.await.map_err(|error| self.error(error, Operation::OpenConsole));
        self.held(self.capabilities.console, "console", answer)
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        let answer = self.ask::<Empty>(Request::ResetConsole(about(node))).await.map(|_| ());
        self.held(self.capabilities.console, "console", answer)
    }

    async fn close(&self) {
        let known = self.known.lock().await.clone();
        if let Some((client, instance)) = known {
            // A plugin that keeps no sessions answers that it is unsupported.
            let _ = client.call::<Empty>(instance, &Request::CloseSessions).await;
        }
    }
}

impl Drop for PluginBmc {
    fn drop(&mut self) {
        if let Some((client, instance)) = self.known.get_mut() {
            client.post(*instance, &Request::Close);
        }
    }
}

fn about(node: &Node) -> NodeRequest {
    NodeRequest { node: node.0.clone() }
}
