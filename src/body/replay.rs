//! What is kept of a request body so that the request can be sent once more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body::Frame;

use super::Body;

/// A copy of what has passed of a body, for as long as that is little. Clones are handles to the same copy.
#[derive(Clone)]
pub(crate) struct ReplayBuffer(Arc<Mutex<Copied>>);

/// The copy, and whether it is one.
struct Copied {
    bytes: Vec<u8>,
    /// How much more is kept; `None` once the body cannot be repeated.
    left: Option<usize>,
    complete: bool,
}

impl ReplayBuffer {
    pub(super) fn new(limit: usize, complete: bool) -> Self {
        Self(Arc::new(Mutex::new(Copied {
            bytes: Vec::new(),
            left: Some(limit),
            complete,
        })))
    }

    /// Copies a frame that passed, or gives the copy up.
    pub(super) fn push(&self, frame: &Frame<Bytes>) {
        let mut copied = self.lock();
        let left = match (copied.left, frame.data_ref()) {
            (Some(left), Some(data)) => left.checked_sub(data.len()),
            // Trailers are not kept, and the message is another one without them.
            _ => None,
        };
        match (left, frame.data_ref()) {
            // Copied, since a slice would keep all of the buffer that it is a piece of.
            (Some(_), Some(data)) => copied.bytes.extend_from_slice(data),
            _ => copied.bytes = Vec::new(),
        }
        copied.left = left;
    }

    /// The body did not pass whole.
    pub(super) fn discard(&self) {
        self.lock().left = None;
    }

    /// The body came to its end.
    pub(super) fn complete(&self) {
        self.lock().complete = true;
    }

    /// The body once more, if all of it was kept.
    pub(crate) fn into_body(self) -> Option<Body> {
        let copied = self.lock();
        (copied.complete && copied.left.is_some()).then(|| copied.bytes.clone().into())
    }

    fn lock(&self) -> MutexGuard<'_, Copied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
