//! Drivers that wrap another driver.

use std::time::Duration;

use async_trait::async_trait;
use mrp_core::bmc::{Bmc, BmcError, BootOverride, Capabilities, Console, Node, Power, PowerAction};

/// Ends each call of a driver that does not keep its own bound, a foreign one for example.
#[derive(Debug)]
pub struct TimeoutBmc<B> {
    inner: B,
    address: String,
    limit: Duration,
}

impl<B: Bmc> TimeoutBmc<B> {
    /// Gives each call of `inner` so much time; errors name `address`.
    pub fn new(inner: B, address: impl Into<String>, limit: Duration) -> Self {
        Self { inner, address: address.into(), limit }
    }

    async fn bounded<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, BmcError>>,
    ) -> Result<T, BmcError> {
        let timeout = |_| BmcError::Timeout { address: self.address.clone(), operation };
        tokio::time::timeout(self.limit, call).await.map_err(timeout)?
    }
}

// A method that is added to the trait must be passed on here as well.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Bmc> Bmc for TimeoutBmc<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn check_node(&self, node: &Node) -> Result<(), BmcError> {
        self.inner.check_node(node)
    }

    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        self.bounded("reading the power state", self.inner.power(node)).await
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        self.bounded("changing the power", self.inner.set_power(node, action)).await
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        self.bounded("setting the boot device", self.inner.set_boot(node, boot)).await
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.bounded("reading the boot device", self.inner.boot(node)).await
    }

    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        self.bounded("opening the serial console", self.inner.open_console(node)).await
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        self.bounded("resetting the serial console", self.inner.reset_console(node)).await
    }

    async fn close(&self) {
        // A close that hangs is given up: nobody waits for its outcome.
        let _ = tokio::time::timeout(self.limit, self.inner.close()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never answers.
    #[derive(Debug)]
    struct Hung;

    #[async_trait]
    impl Bmc for Hung {
        fn capabilities(&self) -> Capabilities {
            Capabilities { reset: true, ..Capabilities::default() }
        }

        async fn power(&self, _: &Node) -> Result<Power, BmcError> {
            std::future::pending().await
        }

        async fn set_power(&self, _: &Node, _: PowerAction) -> Result<(), BmcError> {
            std::future::pending().await
        }

        async fn close(&self) {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_driver_ends_with_a_timeout() {
        let bmc = TimeoutBmc::new(Hung, "bmc:623", Duration::from_secs(30));
        let node = Node::default();
        assert!(bmc.capabilities().reset);
        let error = bmc.power(&node).await.unwrap_err();
        assert_eq!(error.to_string(), "BMC at bmc:623 did not finish reading the power state in time");
        let error = bmc.set_power(&node, PowerAction::On).await.unwrap_err();
        assert!(matches!(error, BmcError::Timeout { .. }), "{error}");
        assert!(matches!(bmc.boot(&node).await, Err(BmcError::Unsupported(_))), "defaults pass through");
        bmc.close().await;
    }
}
