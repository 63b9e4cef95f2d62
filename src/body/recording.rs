use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body::Frame;

use super::Body;

/// What has passed of a body, for as long as that is little: to send it again.
#[derive(Clone)]
pub(crate) struct Recording(Arc<Mutex<Recorded>>);

struct Recorded {
    kept: Vec<u8>,
    /// How much more is kept; `None` once there was too much.
    left: Option<usize>,
    complete: bool,
}

impl Recording {
    pub(super) fn keep(&self, frame: &Frame<Bytes>) {
        let mut recorded = self.lock();
        let left = match (recorded.left, frame.data_ref()) {
            (Some(left), Some(data)) => left.checked_sub(data.len()),
            // Trailers are not kept, and nothing is what it was without them.
            _ => None,
        };
        match (left, frame.data_ref()) {
            // Copied, since a piece of a buffer would keep all of it.
            (Some(_), Some(data)) => recorded.kept.extend_from_slice(data),
            _ => recorded.kept = Vec::new(),
        }
        recorded.left = left;
    }

    pub(super) fn give_up(&self) {
        self.lock().left = None;
    }

    pub(super) fn end(&self) {
        self.lock().complete = true;
    }

    pub(super) fn new(limit: usize, complete: bool) -> Self {
        Self(Arc::new(Mutex::new(Recorded {
            kept: Vec::new(),
            left: Some(limit),
            complete,
        })))
    }

    /// The body once more, if all of it was kept.
    pub(crate) fn into_body(self) -> Option<Body> {
        let recorded = self.lock();
        (recorded.complete && recorded.left.is_some()).then(|| recorded.kept.clone().into())
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
