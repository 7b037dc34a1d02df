//! What other servers on the same database write: followers are woken, and the DHCP server is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::service::Provisioner;

/// Followers look by themselves so often, should a word from another server be lost.
const LOOK: Duration = Duration::from_secs(10);
/// How long changes of addresses are gathered before the DHCP server is told.
const GATHER: Duration = Duration::from_secs(1);

impl Provisioner {
    /// Listens to the other servers.
    pub(crate) fn listen(&self) {
        let changed = Arc::new(Notify::new());
        let (service, addresses) = (self.clone(), changed.clone());
        self.start_loop(async move {
            let mut deaf = false;
            loop {
                match service.store().heard().await {
                    Ok(()) => {
                        deaf = false;
                        // A token that another server has revoked ends here too.
                        service.forget_tokens();
                        service.announce();
                        addresses.notify_one();
                    }
                    Err(error) => {
                        if !deaf {
                            tracing::warn!(%error, "other servers are not heard; trying again each second");
                        }
                        deaf = true;
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        let service = self.clone();
        self.start_loop(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                service.announce();
            }
        });
        let service = self.clone();
        self.start_loop(async move {
            loop {
                changed.notified().await;
                tokio::time::sleep(GATHER).await;
                service.sync_dhcp();
            }
        });
    }
}
