//! The end of a door, as its requests see it.
//!
//! It has two moments. Once it has begun, nobody is let in any more, and WebSockets are closed. Once it is over, whatever is
//! still under way is broken off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::exchange::interrupts::{Interrupts, wait_until};

/// Counts what is under way, and ends it in order. Clones are handles to the same.
///
/// All orderings are sequentially consistent: a request is counted before it asks whether the shutdown has begun, and the
/// shutdown begins before it looks at the count. So either the request sees that it comes too late, or the shutdown waits
/// for it.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    begun: AtomicBool,
    beginning: Notify,
    over: AtomicBool,
    under_way: AtomicUsize,
    /// The last request has ended.
    empty: Notify,
}

/// One request under way, until its response and its bodies have ended.
pub(super) struct UnderWay(Arc<Shared>);

impl Shutdown {
    /// Counts one more request; `None` once the shutdown has begun.
    pub(super) fn enter(&self) -> Option<UnderWay> {
        self.shared.under_way.fetch_add(1, SeqCst);
        let under_way = UnderWay(self.shared.clone());
        // Asked once it is counted, or a shutdown in between would miss it.
        (!self.has_begun()).then_some(under_way)
    }

    /// Whether nobody is let in any more.
    fn has_begun(&self) -> bool {
        self.shared.begun.load(SeqCst)
    }

    /// Waits for the shutdown to begin.
    pub(super) async fn begun(&self) {
        wait_until(&self.shared.beginning, || self.has_begun()).await;
    }

    /// Whether what is still under way is to be broken off.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.load(SeqCst)
    }

    /// Begins it, and waits until nothing is under way any more, or `grace` is over; gives what then still is.
    pub(super) async fn run(&self, interrupts: &Interrupts, grace: Duration) -> usize {
        self.shared.begun.store(true, SeqCst);
        self.shared.beginning.notify_waiters();
        let under_way = || self.shared.under_way.load(SeqCst);
        let empty = wait_until(&self.shared.empty, || under_way() == 0);
        let _ = tokio::time::timeout(grace, empty).await;
        let left = under_way();
        self.shared.over.store(true, SeqCst);
        interrupts.notify_all();
        left
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Nobody waits for the last one before the shutdown has begun.
        if self.0.under_way.fetch_sub(1, SeqCst) == 1 && self.0.begun.load(SeqCst) {
            self.0.empty.notify_waiters();
        }
    }
}
