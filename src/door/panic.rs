//! A panic of the embedder's code ends one request.
//!
//! Without it, the panic would unwind into the HTTP server, which closes the connection and whatever else is on it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

/// The embedder's code panicked. What it said is not looked at: it may hold anything.
pub(crate) struct Panicked;

pin_project! {
    /// Stages in which the embedder's code runs: a panic of it costs this request, not the connection or the process.
    ///
    /// The stages are dropped as the panic left them, and nothing of them is used again.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        stages: F,
    }
}

impl<F> CatchPanic<F> {
    pub(crate) const fn new(stages: F) -> Self {
        Self { stages }
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stages = self.project().stages;
        let polled = catch_unwind(AssertUnwindSafe(|| stages.poll(cx)));
        polled.map_or(Poll::Ready(Err(Panicked)), |poll| poll.map(Ok))
    }
}
