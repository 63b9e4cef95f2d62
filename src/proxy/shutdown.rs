use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// The end of a proxy, as its requests see it.
#[derive(Clone)]
pub(super) struct Shutdown {
    shared: Arc<Shared>,
}

struct Shared {
    begun: watch::Sender<bool>,
    over: watch::Sender<bool>,
    under_way: AtomicUsize,
    /// The last request has ended.
    empty: Notify,
}

/// One request under way, until its answer has ended.
pub(super) struct UnderWay(Arc<Shared>);

impl Shutdown {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                begun: watch::Sender::new(false),
                over: watch::Sender::new(false),
                under_way: AtomicUsize::new(0),
                empty: Notify::new(),
            }),
        }
    }

    /// Counts one more request.
    pub(super) fn enter(&self) -> UnderWay {
        self.shared.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(self.shared.clone())
    }

    pub(super) fn has_begun(&self) -> bool {
        *self.shared.begun.borrow()
    }

    /// Waits for the shutdown to begin.
    pub(super) async fn begun(&self) {
        let mut begun = self.shared.begun.subscribe();
        // It fails only when nobody is left who could begin it.
        if begun.wait_for(|begun| *begun).await.is_err() {
            std::future::pending().await
        }
    }

    /// Says when what is still under way is broken off.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.shared.over.subscribe()
    }

    /// Begins it, and waits until nothing is under way any more, or `grace` is over; gives what then still is.
    pub(super) async fn run(&self, grace: Duration) -> usize {
        self.shared.begun.send_replace(true);
        let empty = async {
            loop {
                let notified = self.shared.empty.notified();
                let mut notified = std::pin::pin!(notified);
                // Listening before looking, or an end in between would go unnoticed.
                notified.as_mut().enable();
                if self.shared.under_way.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        let _ = tokio::time::timeout(grace, empty).await;
        let left = self.shared.under_way.load(Ordering::Acquire);
        self.shared.over.send_replace(true);
        left
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}
