//! How requests under way hear that their token was revoked, and when it expires. A sandbox has one place where its
//! requests wait, so that a revocation wakes those that it concerns.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// How the requests of a proxy that are under way hear of what may end them: each listens to the bell of its sandbox.
pub(crate) struct Bells {
    hasher: RandomState,
    bells: Box<[Bell]>,
}

#[derive(Default)]
struct Bell {
    rung: AtomicUsize,
    listening: Notify,
}

/// Which of them.
#[derive(Clone, Copy)]
pub(crate) struct BellOf(usize);

/// Few enough to be rung all at once, many enough that a sandbox wakes few others.
const BELLS: usize = 64;

impl Bells {
    pub(crate) fn of(&self, sandbox_id: &str) -> BellOf {
        BellOf(self.hasher.hash_one(sandbox_id) as usize % BELLS)
    }

    /// How often it was rung.
    pub(crate) fn rung(&self, of: BellOf) -> usize {
        self.bell(of).rung.load(SeqCst)
    }

    /// Waits until something is so that the bell tells of.
    pub(crate) async fn until(&self, of: BellOf, is_so: impl Fn() -> bool) {
        wait_until(&self.bell(of).listening, is_so).await;
    }

    pub(crate) fn ring(&self, of: BellOf) {
        let bell = self.bell(of);
        bell.rung.fetch_add(1, SeqCst);
        bell.listening.notify_waiters();
    }

    pub(crate) fn ring_all(&self) {
        (0..BELLS).for_each(|bell| self.ring(BellOf(bell)));
    }

    #[expect(clippy::indexing_slicing, reason = "there are so many")]
    fn bell(&self, BellOf(bell): BellOf) -> &Bell {
        &self.bells[bell % BELLS]
    }
}

impl Default for Bells {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            bells: (0..BELLS).map(|_| Bell::default()).collect(),
        }
    }
}

pub(crate) async fn wait_until(notify: &Notify, is_so: impl Fn() -> bool) {
    loop {
        let mut notified = pin!(notify.notified());
        // Listening before looking, or a change in between would go unnoticed.
        notified.as_mut().enable();
        if is_so() {
            return;
        }
        notified.await;
    }
}
