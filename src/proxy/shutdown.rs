use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::token::{self, Bells};

/// The end of a proxy, as its requests see it.
#[derive(Clone, Default)]
pub(super) struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    begun: AtomicBool,
    beginning: Notify,
    over: AtomicBool,
    /// Rung when it is over, and by others.
    bells: Arc<Bells>,
    under_way: AtomicUsize,
    /// The last request has ended.
    empty: Notify,
}

/// One request under way, until its answer and its body have ended.
pub(super) struct UnderWay(Arc<Shared>);

impl Shutdown {
    /// Counts one more request.
    pub(super) fn enter(&self) -> UnderWay {
        self.shared.under_way.fetch_add(1, SeqCst);
        UnderWay(self.shared.clone())
    }

    pub(super) fn has_begun(&self) -> bool {
        self.shared.begun.load(SeqCst)
    }

    /// Waits for the shutdown to begin.
    pub(super) async fn begun(&self) {
        token::wait_until(&self.shared.beginning, || self.has_begun()).await;
    }

    /// Whether what is still under way is to be broken off.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.load(SeqCst)
    }

    pub(super) fn bells(&self) -> &Arc<Bells> {
        &self.shared.bells
    }

    /// Begins it, and waits until nothing is under way any more, or `grace` is over; gives what then still is.
    pub(super) async fn run(&self, grace: Duration) -> usize {
        self.shared.begun.store(true, SeqCst);
        self.shared.beginning.notify_waiters();
        let under_way = || self.shared.under_way.load(SeqCst);
        let empty = token::wait_until(&self.shared.empty, || under_way() == 0);
        let _ = tokio::time::timeout(grace, empty).await;
        let left = under_way();
        self.shared.over.store(true, SeqCst);
        self.shared.bells.ring_all();
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
