//! Journals that stand for themselves, written together: of the machines that boot at once each has something to say, and
//! a transaction costs more than what is in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mrp_core::event::Journal;
use mrp_core::store::{StoreError, StoreResult};
use tokio::sync::{Mutex as Turns, oneshot};

use super::database::{Pool, TURN};
use super::query::{Query, may_be_one, with};
use super::{events, failed, sql, unreferred};

/// How many journals one transaction writes at most.
const MOST: usize = 16;

/// A journal, and who waits until it is kept.
type Waiting = (Journal, oneshot::Sender<StoreResult<()>>);

/// Journals that wait for their turn. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by who writes.
    turn: Turns<()>,
}

impl Recorder {
    /// Writes a journal, together with those that came while others were written; returns when it is kept.
    pub(super) async fn record(&self, pool: &Pool, journal: &Journal) -> StoreResult<()> {
        let (answer, answered) = oneshot::channel();
        self.waiting().push((journal.clone(), answer));
        // On a task of its own: others wait for what it writes, whatever becomes of this caller.
        let (recorder, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            let _turn = recorder.0.turn.lock().await;
            let next: Vec<Waiting> = {
                let mut waiting = recorder.waiting();
                let most = waiting.len().min(MOST);
                waiting.drain(..most).collect()
            };
            write_all(&pool, next).await;
        });
        answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the server is ending".into())))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that cannot be written (its machine was removed meanwhile) does not keep the others from it.
async fn write_all(pool: &Pool, journals: Vec<Waiting>) {
    let together =
        journals.len() > 1 && write(pool, journals.iter().map(|(journal, _)| journal)).await.is_ok();
    for (journal, answer) in journals {
        let written = if together { Ok(()) } else { write(pool, [&journal]).await };
        // Who does not wait any more needs no answer.
        let _ = answer.send(written);
    }
}

async fn write<'j>(pool: &Pool, journals: impl IntoIterator<Item = &'j Journal> + Clone) -> StoreResult<()> {
    let statements = |after: &str| -> StoreResult<Vec<Query<'j>>> {
        let statements: StoreResult<Vec<Vec<Query<'j>>>> =
            journals.clone().into_iter().map(|journal| events::statements_after(journal, after)).collect();
        Ok(statements?.into_iter().flatten().collect())
    };
    if let Pool::Postgres(_) = pool {
        let in_turn = statements(" FROM turn")?;
        if may_be_one(&in_turn) {
            let Some(all) = with(vec![("turn", sql(TURN))], in_turn) else { return Ok(()) };
            return pool.run_alone(all).await.map_err(unreferred).map(drop);
        }
    }
    let tx = pool.begin().await.map_err(failed)?;
    tx.commit_after(statements("")?).await.map_err(unreferred).map(drop)
}
