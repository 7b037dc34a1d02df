//! Hears what other processes write into the same PostgreSQL database.

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::sync::Mutex;

/// The channel of the triggers on `events` and `audit`; what it carries is the writer's `application_name`.
const CHANNEL: &str = "mrp_events";

/// A connection that listens, made when it is first needed and anew when it was lost.
#[derive(Debug)]
pub(super) struct Listener {
    pool: PgPool,
    /// The `application_name` of this process: what it writes itself it need not hear.
    own: String,
    listening: Mutex<Option<PgListener>>,
}

impl Listener {
    /// A listener beside the connections with these options.
    pub(super) fn new(options: PgConnectOptions, own: String) -> Self {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        Self { pool: pool.connect_lazy_with(options), own, listening: Mutex::default() }
    }

    /// Waits until another process has written, or may have while this one did not listen.
    pub(super) async fn heard(&self) -> Result<(), sqlx::Error> {
        let mut listening = self.listening.lock().await;
        let Some(listener) = &mut *listening else {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            listener.listen(CHANNEL).await?;
            *listening = Some(listener);
            return Ok(());
        };
        loop {
            match listener.try_recv().await {
                Ok(Some(told)) if told.payload() == self.own => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    *listening = None;
                    return Err(error);
                }
            }
        }
    }

    /// Ends the connection, also under a caller that waits.
    pub(super) async fn close(&self) {
        // From here on who listens is told so, and a new connection is refused.
        let closing = self.pool.close();
        drop(self.listening.lock().await.take());
        closing.await;
    }
}
