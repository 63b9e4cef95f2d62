use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// The end of a proxy, as its requests see it.
#[derive(Clone, Default)]
pub(super) struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    begun: Signal,
    over: Signal,
    under_way: AtomicUsize,
    /// The last request has ended.
    empty: Notify,
}

/// One request under way, until its answer has ended.
pub(super) struct UnderWay(Arc<Shared>);

impl Shutdown {
    /// Counts one more request.
    pub(super) fn enter(&self) -> UnderWay {
        self.shared.under_way.fetch_add(1, SeqCst);
        UnderWay(self.shared.clone())
    }

    pub(super) fn has_begun(&self) -> bool {
        self.shared.begun.is_given()
    }

    /// Waits for the shutdown to begin.
    pub(super) async fn begun(&self) {
        self.shared.begun.wait().await;
    }

    /// Whether what is still under way is to be broken off.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.is_given()
    }

    /// Waits for the time to break off.
    pub(super) async fn over(&self) {
        self.shared.over.wait().await;
    }

    /// Begins it, and waits until nothing is under way any more, or `grace` is over; gives what then still is.
    pub(super) async fn run(&self, grace: Duration) -> usize {
        self.shared.begun.give();
        let under_way = || self.shared.under_way.load(SeqCst);
        let empty = wait_until(&self.shared.empty, || under_way() == 0);
        let _ = tokio::time::timeout(grace, empty).await;
        let left = under_way();
        self.shared.over.give();
        left
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Nobody waits for the last one before the shutdown has begun.
        if self.0.under_way.fetch_sub(1, SeqCst) == 1 && self.0.begun.is_given() {
            self.0.empty.notify_waiters();
        }
    }
}

/// Something that happens once.
#[derive(Default)]
struct Signal {
    given: AtomicBool,
    waiting: Notify,
}

impl Signal {
    fn is_given(&self) -> bool {
        self.given.load(SeqCst)
    }

    fn give(&self) {
        self.given.store(true, SeqCst);
        self.waiting.notify_waiters();
    }

    async fn wait(&self) {
        wait_until(&self.waiting, || self.is_given()).await;
    }
}

async fn wait_until(notify: &Notify, reached: impl Fn() -> bool) {
    loop {
        let mut notified = pin!(notify.notified());
        // Listening before looking, or a change in between would go unnoticed.
        notified.as_mut().enable();
        if reached() {
            return;
        }
        notified.await;
    }
}
