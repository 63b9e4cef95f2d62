//! A body that can be taken back from its reader.
//!
//! A server whose caller takes nothing asks for no more of the response, and a client whose server takes nothing for no more
//! of the upload. No time-out in the body would be looked at, no interrupt be heard of, and the connections and permits
//! behind it would stay taken. So from its second frame on, or its first long wait, such a body is only shared: a task beside
//! it keeps the right to drop it.

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
    guard::{Guard, Interrupt, Interrupted},
    progress::Event,
};

/// A body that is dropped when its interrupt comes, or once its reader has left it unread for its time, which is found out
/// after up to twice that.
pub(super) struct RevocableBody {
    shared: Arc<Mutex<Shared>>,
    revoker: AbortHandle,
}

/// What the reader and the task beside it share.
struct Shared {
    /// `None` once it was revoked.
    body: Option<Body>,
    reads: u64,
    /// The reader waits for more.
    waiting: Option<Waker>,
}

impl RevocableBody {
    /// Lends a body, and starts the task that may take it back.
    pub(super) fn new(body: Body, unread: Duration, runtime: &Handle) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            body: Some(body),
            reads: 0,
            waiting: None,
        }));
        let revoker = runtime.spawn(revoke(Arc::downgrade(&shared), unread));
        Self {
            shared,
            revoker: revoker.abort_handle(),
        }
    }

    /// The next frame, or the error of a body that was taken back. Remembers who waits, so that to take it back wakes them.
    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = lock(&self.shared);
        shared.reads += 1;
        let Some(body) = &mut shared.body else {
            return Poll::Ready(Some(Err(Interrupted.into())));
        };
        let frame = Pin::new(body).poll_frame(cx);
        let known = |waiting: &Waker| waiting.will_wake(cx.waker());
        if frame.is_ready() {
            shared.waiting = None;
        } else if !shared.waiting.as_ref().is_some_and(known) {
            shared.waiting = Some(cx.waker().clone());
        }
        frame
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared.body.as_ref().is_some_and(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        shared
            .body
            .as_ref()
            .map(Body::size_hint)
            .unwrap_or_default()
    }
}

/// A reader that is done needs nobody to take its body back.
impl Drop for RevocableBody {
    fn drop(&mut self) {
        self.revoker.abort();
    }
}

impl Shared {
    /// The guard of the body that was lent.
    fn guard(&mut self) -> Option<&mut Guard> {
        self.body.as_mut()?.guard.as_deref_mut()
    }

    /// What may end it; `None` once it has ended.
    fn interrupt(&mut self) -> Option<&mut (dyn Interrupt + 'static)> {
        self.guard()?.interrupt.as_deref_mut()
    }
}

/// Drops the body when its interrupt comes or its reader stays away, and wakes a reader that waits.
///
/// It holds the body weakly: once the reader drops it, there is nothing left to revoke. A body whose guard has given its
/// interrupt back has come to its end, and so has this.
async fn revoke(shared: Weak<Mutex<Shared>>, unread: Duration) {
    let Some(mut notified) = with(&shared, |shared| Some(shared.interrupt()?.notified())) else {
        return;
    };
    let (mut reads, mut due) = (0, Instant::now() + unread);
    while let Some(wait) = with(&shared, |shared| Some(shared.interrupt()?.check_again_in())) {
        let was_notified = tokio::select! {
            () = &mut notified => true,
            () = sleep(wait.min(due.saturating_duration_since(Instant::now()))) => false,
        };
        let now = Instant::now();
        let revoked = with(&shared, |shared| {
            let ended = shared.interrupt()?.has_come() || was_notified;
            let left_unread = now >= due && shared.waiting.is_none() && shared.reads == reads;
            if ended {
                shared.guard()?.report(Event::Interrupted);
            } else if left_unread {
                shared.interrupt()?.on_unread();
            }
            if ended || left_unread {
                return Some((shared.body.take(), shared.waiting.take()));
            }
            if now >= due {
                (reads, due) = (shared.reads, now + unread);
            }
            None
        });
        if let Some((body, waiting)) = revoked {
            drop(body);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
            return;
        }
    }
}

/// Looks at what is shared, if the reader still has it.
fn with<T>(shared: &Weak<Mutex<Shared>>, look: impl FnOnce(&mut Shared) -> Option<T>) -> Option<T> {
    let shared = shared.upgrade()?;
    look(&mut lock(&shared))
}

/// A panic while it was held can only have been the body's own, which is then not read again.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
