use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// How the requests of a proxy that are under way hear of what may end them. Each listens at the line of its sandbox.
pub(crate) struct Lines {
    hasher: RandomState,
    lines: Box<[Line]>,
}

#[derive(Default)]
struct Line {
    calls: AtomicUsize,
    waiting: Notify,
}

/// Few enough to be called all at once, many enough that a sandbox wakes few others.
const LINES: usize = 64;

impl Lines {
    pub(crate) fn of(&self, sandbox_id: &str) -> usize {
        self.hasher.hash_one(sandbox_id) as usize % LINES
    }

    /// How often there was a call.
    pub(crate) fn calls(&self, line: usize) -> usize {
        self.line(line).calls.load(SeqCst)
    }

    /// Waits until something is so that is told by a call.
    pub(crate) async fn until(&self, line: usize, is_so: impl Fn() -> bool) {
        wait_until(&self.line(line).waiting, is_so).await;
    }

    pub(crate) fn call(&self, line: usize) {
        let line = self.line(line);
        line.calls.fetch_add(1, SeqCst);
        line.waiting.notify_waiters();
    }

    pub(crate) fn call_all(&self) {
        (0..LINES).for_each(|line| self.call(line));
    }

    #[expect(clippy::indexing_slicing, reason = "there are so many")]
    fn line(&self, line: usize) -> &Line {
        &self.lines[line % LINES]
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            lines: (0..LINES).map(|_| Line::default()).collect(),
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
