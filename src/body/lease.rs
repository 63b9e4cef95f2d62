//! Taking a body back from its reader.
//!
//! A server whose caller takes nothing asks for no more of the body, and a client whose server takes nothing for no more
//! of the upload. No time-out in the body would be looked at, no end be heard of, and the connections and places behind it
//! would stay taken.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep},
};
use tower::BoxError;

use super::{
    Body,
    guard::{BrokenOff, Ending, Guard},
    watch::BROKEN_OFF,
};

/// A body that its keeper takes back: when its end has come, or once its reader has left it unread for its time, which is
/// found out after up to twice that.
pub(super) struct Lease {
    lent: Arc<Mutex<Lent>>,
    keeper: AbortHandle,
}

struct Lent {
    body: Option<Body>,
    reads: u64,
    /// The reader waits for more.
    waiting: Option<Waker>,
}

impl Lease {
    pub(super) fn new(body: Body, unread: Duration, runtime: &Handle) -> Self {
        let lent = Arc::new(Mutex::new(Lent {
            body: Some(body),
            reads: 0,
            waiting: None,
        }));
        let keeper = runtime.spawn(keep(Arc::downgrade(&lent), unread));
        Self {
            lent,
            keeper: keeper.abort_handle(),
        }
    }

    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut lent = lock(&self.lent);
        lent.reads += 1;
        let Some(body) = &mut lent.body else {
            return Poll::Ready(Some(Err(BrokenOff.into())));
        };
        let frame = Pin::new(body).poll_frame(cx);
        let known = |waiting: &Waker| waiting.will_wake(cx.waker());
        if frame.is_ready() {
            lent.waiting = None;
        } else if !lent.waiting.as_ref().is_some_and(known) {
            lent.waiting = Some(cx.waker().clone());
        }
        frame
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let lent = lock(&self.lent);
        lent.body.as_ref().is_some_and(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let lent = lock(&self.lent);
        lent.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Lent {
    fn guard(&mut self) -> Option<&mut Guard> {
        self.body.as_mut()?.guard.as_deref_mut()
    }

    fn ending(&mut self) -> Option<&mut (dyn Ending + 'static)> {
        self.guard()?.ending.as_deref_mut()
    }
}

async fn keep(lent: Weak<Mutex<Lent>>, unread: Duration) {
    let Some(mut announced) = look(&lent, |lent| Some(lent.ending()?.announced())) else {
        return;
    };
    let (mut reads, mut due) = (0, Instant::now() + unread);
    while let Some(wait) = look(&lent, |lent| Some(lent.ending()?.ask_again_in())) {
        let is_announced = tokio::select! {
            () = &mut announced => true,
            () = sleep(wait.min(due.saturating_duration_since(Instant::now()))) => false,
        };
        let now = Instant::now();
        let gone = look(&lent, |lent| {
            let ended = lent.ending()?.has_come() || is_announced;
            let left_unread = now >= due && lent.waiting.is_none() && lent.reads == reads;
            if ended {
                lent.guard()?.report(BROKEN_OFF);
            } else if left_unread {
                lent.ending()?.left_unread();
            }
            if ended || left_unread {
                return Some((lent.body.take(), lent.waiting.take()));
            }
            if now >= due {
                (reads, due) = (lent.reads, now + unread);
            }
            None
        });
        if let Some((body, waiting)) = gone {
            drop(body);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
            return;
        }
    }
}

fn look<T>(lent: &Weak<Mutex<Lent>>, look: impl FnOnce(&mut Lent) -> Option<T>) -> Option<T> {
    let lent = lent.upgrade()?;
    look(&mut lock(&lent))
}

fn lock(lent: &Mutex<Lent>) -> MutexGuard<'_, Lent> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}
