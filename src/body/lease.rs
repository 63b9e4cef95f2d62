//! Taking a body back from a reader that no longer reads.
//!
//! A server whose caller takes nothing stops to ask for more of the body, so no time-out in the body would ever be looked
//! at, and the upstream's connection and the places of the request would stay taken.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{runtime::Handle, task::AbortHandle};
use tower::BoxError;

use super::{Body, guard::Stalled};

/// A body that is gone when nobody has read in it for twice its idle time-out, and often sooner.
pub(super) struct Lease {
    lent: Arc<Mutex<Lent>>,
    keeper: AbortHandle,
}

struct Lent {
    body: Option<Body>,
    reads: u64,
    /// What was read last is with the reader; otherwise it is the body that is waited for, which has its own time-out.
    taken: bool,
}

impl Lease {
    pub(super) fn new(body: Body, timeout: Duration, runtime: &Handle) -> Self {
        let lent = Arc::new(Mutex::new(Lent {
            body: Some(body),
            reads: 0,
            taken: true,
        }));
        let keeper = runtime.spawn(keep(Arc::downgrade(&lent), timeout));
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
            return Poll::Ready(Some(Err(Stalled.into())));
        };
        let frame = Pin::new(body).poll_frame(cx);
        lent.taken = frame.is_ready();
        frame
    }

    pub(super) fn is_end_stream(&self) -> bool {
        lock(&self.lent)
            .body
            .as_ref()
            .is_some_and(Body::is_end_stream)
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

async fn keep(lent: Weak<Mutex<Lent>>, timeout: Duration) {
    let mut reads = 0;
    loop {
        tokio::time::sleep(timeout).await;
        let Some(lent) = lent.upgrade() else {
            return;
        };
        let mut lent = lock(&lent);
        if lent.taken && lent.reads == reads {
            let body = lent.body.take();
            drop(lent);
            drop(body);
            return;
        }
        reads = lent.reads;
    }
}

fn lock(lent: &Mutex<Lent>) -> MutexGuard<'_, Lent> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}
