//! Draining a body on drop: reading on for a while in one that nobody wants any more.
//!
//! A server that closes an HTTP/1 connection while the other side is sending takes back the response that it has just given
//! (RFC 9112 §9.6): the caller sees that its sending fails, and nothing else.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Version, header::EXPECT};
use http_body_util::BodyExt;
use tokio::{runtime::Handle, time::timeout};

use super::Body;

/// Whether a body is drained when it is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrainOnDrop {
    Never,
    /// Not before it is read: the caller waits until it is asked for the body, and to read is to ask.
    OnceRead,
    Always,
}

/// A caller that has sent nothing for this long is waiting for its response.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an upload may go on that is thrown away, and how much of it.
const WHOLE: Duration = Duration::from_secs(30);
const BYTES: usize = 64 << 20;

impl DrainOnDrop {
    /// What a request with this head needs when it is refused.
    pub(crate) fn of(version: Version, headers: &HeaderMap) -> Self {
        if version >= Version::HTTP_2 {
            // A stream can end by itself.
            Self::Never
        } else if headers.contains_key(EXPECT) {
            Self::OnceRead
        } else {
            Self::Always
        }
    }
}

/// Reads a body to its end, or until there is no use in it: in a task of its own, bounded in time and bytes.
pub(super) fn drain(mut body: Body) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(timeout(WHOLE, async move {
            let mut left = BYTES;
            while let Ok(Some(Ok(frame))) = timeout(PAUSE, body.frame()).await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                left = match left.checked_sub(length) {
                    Some(left) => left,
                    None => return,
                };
            }
        }));
    }
}
