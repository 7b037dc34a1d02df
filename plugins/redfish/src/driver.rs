//! The driver `redfish`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mrp_bmc::IpmiBmc;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootOverride, Capabilities, Console, Node, OpenBmc, Power, PowerAction,
};
use reqwest::StatusCode;
use tokio::sync::Mutex;

use super::answer::Failure;
use super::options::{self, ConsoleKind, Options};
use super::service::Service;
use super::system::{self, System};
use super::{boot, console, power};

/// A BMC that speaks Redfish. One session is kept and shared; calls run beside each other.
#[derive(Debug)]
pub struct RedfishBmc {
    config: BmcConfig,
    options: Options,
    service: Service,
    /// Paths of systems, by what was wanted.
    paths: Mutex<HashMap<Option<String>, String>>,
    /// What carries the console, by its port.
    ipmi: Mutex<Option<(u16, Arc<IpmiBmc>)>>,
}

#[async_trait]
impl OpenBmc for RedfishBmc {
    const DRIVER: &'static str = "redfish";

    fn options() -> serde_json::Value {
        options::schema()
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        let options = options::read(&config)?;
        let service = Service::new(&config, &options)?;
        if options.console == ConsoleKind::Ipmi {
            // What is wrong with its options is told before somebody wants a console.
            options::open_ipmi(&config, &options, service.host(), 1).await?;
        }
        Ok(Self { config, options, service, paths: Mutex::default(), ipmi: Mutex::default() })
    }
}

#[async_trait]
impl Bmc for RedfishBmc {
    fn capabilities(&self) -> Capabilities {
        let console = self.options.console == ConsoleKind::Ipmi;
        Capabilities { reset: true, soft_power: true, set_boot: true, read_boot: true, console }
    }

    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        self.bounded("reading the power state", async {
            Ok(power::state(&self.service, &self.system(node).await?)?)
        })
        .await
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        self.bounded(action.operation(), async {
            power::set(&self.service, &self.system(node).await?, action).await
        })
        .await
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        self.bounded("setting the boot device", async {
            boot::set(&self.service, &self.system(node).await?, boot).await
        })
        .await
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.bounded("reading the boot device", async {
            Ok(boot::read(&self.service, &self.system(node).await?)?)
        })
        .await
    }

    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        self.ipmi(node).await?.open_console(&Node::default()).await
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        self.ipmi(node).await?.reset_console(&Node::default()).await
    }

    async fn close(&self) {
        if let Some((_, ipmi)) = self.ipmi.lock().await.take() {
            ipmi.close().await;
        }
        let _ = tokio::time::timeout(self.limit(), self.service.close()).await;
    }
}

impl RedfishBmc {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.options.timeout_s)
    }

    /// Puts a bound on a call and says what it was.
    async fn bounded<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, BmcError> {
        let address = self.service.address.clone();
        match tokio::time::timeout(self.limit(), call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(failure)) => match failure.into_error(&address, operation) {
                BmcError::Timeout { address, .. } => Err(BmcError::Timeout { address, operation }),
                error => Err(error),
            },
            Err(_) => Err(BmcError::Timeout { address, operation }),
        }
    }

    /// The system of a node, as it is. Where it is, is remembered until nothing is there any more.
    async fn system(&self, node: &Node) -> Result<System, Failure> {
        let wanted = Some(node.0.trim()).filter(|node| !node.is_empty()).map(str::to_owned);
        let wanted = wanted.or_else(|| self.options.system.clone());
        let known = self.paths.lock().await.get(&wanted).cloned();
        if let Some(path) = known {
            match System::read(&self.service, &path).await {
                Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => {}
                outcome => return outcome,
            }
        }
        let path = system::find(&self.service, wanted.as_deref()).await?;
        self.paths.lock().await.insert(wanted, path.clone());
        System::read(&self.service, &path).await
    }

    /// What carries the console of a node.
    async fn ipmi(&self, node: &Node) -> Result<Arc<IpmiBmc>, BmcError> {
        if self.options.console == ConsoleKind::None {
            return Err(BmcError::Unsupported("the serial console"));
        }
        let port = self
            .bounded("looking for the serial console", async {
                console::ipmi_port(&self.service, &self.system(node).await?).await
            })
            .await?;
        let mut kept = self.ipmi.lock().await;
        if let Some((_, ipmi)) = kept.as_ref().filter(|(kept, _)| *kept == port) {
            return Ok(ipmi.clone());
        }
        let opened = options::open_ipmi(&self.config, &self.options, self.service.host(), port).await?;
        let ipmi = Arc::new(opened);
        if let Some((_, before)) = kept.replace((port, ipmi.clone())) {
            before.close().await;
        }
        Ok(ipmi)
    }
}
