//! Work on every item of a batch, in order, without holding up the threads that serve connections.
//!
//! Must never run more of it at once than there are processors: a batch is nobody's priority.

use crate::HolderError;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Batches up to this size are worked on where they arrived: handing one order to another thread and
/// back costs about as much as a twentieth of the order itself, and delays it by more.
const INLINE_ITEMS_MAX: usize = 2;
/// Items that go to another thread together.
const CHUNK_ITEMS: usize = 16;

/// One lane for each processor, shared by all batches.
fn lanes() -> Arc<Semaphore> {
    static LANES: OnceLock<Arc<Semaphore>> = OnceLock::new();
    let lanes = LANES.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Arc::new(Semaphore::new(processors))
    });
    Arc::clone(lanes)
}

/// Does `work` on every item; the results are in the order of the items.
pub(crate) async fn each<T, U, F>(items: Vec<T>, work: F) -> Result<Vec<U>, HolderError>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Fn(T) -> U + Send + Sync + 'static,
{
    if items.len() <= INLINE_ITEMS_MAX {
        return Ok(items.into_iter().map(work).collect());
    }
    let mut results = Vec::with_capacity(items.len());
    let work = Arc::new(work);
    let mut items = items.into_iter();
    let mut running = Vec::new();
    loop {
        let chunk: Vec<T> = items.by_ref().take(CHUNK_ITEMS).collect();
        if chunk.is_empty() {
            break;
        }
        let lane = lanes()
            .acquire_owned()
            .await
            .map_err(|_| HolderError::Thread)?;
        let work = Arc::clone(&work);
        running.push(tokio::task::spawn_blocking(move || {
            let done: Vec<U> = chunk.into_iter().map(|item| work(item)).collect();
            drop(lane);
            done
        }));
    }
    for chunk in running {
        results.extend(chunk.await.map_err(|_| HolderError::Thread)?);
    }
    Ok(results)
}
