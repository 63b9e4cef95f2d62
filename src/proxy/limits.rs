use std::{num::NonZeroUsize, time::Duration};

use crate::ConfigError;

/// How large requests may be, how long nothing may move, and how many there may be at a time.
///
/// # Example
///
/// ```
/// use sallygate::proxy::Limits;
///
/// let limits = Limits::new().body_bytes(64 << 20).header_bytes(32 << 10);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub(super) body_bytes: u64,
    pub(super) header_bytes: usize,
    pub(super) header_fields: usize,
    pub(super) uri_bytes: usize,
    pub(super) idle_timeout: Duration,
    pub(super) unread_timeout: Duration,
    pub(super) concurrent_per_sandbox: Option<NonZeroUsize>,
}

impl Limits {
    /// Creates the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            body_bytes: 16 << 30,
            header_bytes: 64 << 10,
            header_fields: 100,
            uri_bytes: 16 << 10,
            idle_timeout: Duration::from_secs(600),
            unread_timeout: Duration::from_secs(600),
            concurrent_per_sandbox: None,
        }
    }

    /// Longest body; a longer one is answered with 413, early if its length is announced. Defaults to 16 GiB.
    #[must_use]
    pub const fn body_bytes(mut self, bytes: u64) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Size of all header fields together, each counted as name, value and 32 more (RFC 9113 §6.5.2); larger ones are
    /// answered with 431. Defaults to 64 KiB.
    #[must_use]
    pub const fn header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = bytes;
        self
    }

    /// Number of header fields; more are answered with 431. Defaults to 100, and is never more than 24,576.
    #[must_use]
    pub const fn header_fields(mut self, fields: usize) -> Self {
        // http's maps panic at 32,768 fields, and some are added on the way.
        self.header_fields = if fields < 24_576 { fields } else { 24_576 };
        self
    }

    /// Longest path and query; a longer one is answered with 414. Defaults to 16 KiB.
    #[must_use]
    pub const fn uri_bytes(mut self, bytes: usize) -> Self {
        self.uri_bytes = bytes;
        self
    }

    /// Gives up on a body of a request or an answer, or on a WebSocket, when nothing has come for this long. Defaults to
    /// ten minutes. How long a body may take as a whole is limited by the token alone
    /// ([`Policy::expiry_grace`](crate::Policy::expiry_grace)). A service may have its own:
    /// [`Policy::idle_timeout`](crate::Policy::idle_timeout).
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Gives up on an answer that its caller has not read on for this long, or up to twice that, and on an upload that the
    /// upstream has not. What they hold is free then: places, and the connection at the other side. Defaults to ten minutes.
    ///
    /// A server asks for more of an answer only when the buffers of the system, several megabytes, have room: a caller that
    /// is slow may take minutes between two reads. A request whose upload is not read, and that has no answer yet, is answered with 504. A
    /// service may have its own: [`Policy::unread_timeout`](crate::Policy::unread_timeout).
    #[must_use]
    pub const fn unread_timeout(mut self, timeout: Duration) -> Self {
        self.unread_timeout = timeout;
        self
    }

    /// How many requests of one sandbox may be under way at a time, each until its answer and its upload have ended; one more is
    /// answered with 429. Defaults to any number.
    #[must_use]
    pub const fn concurrent_per_sandbox(mut self, requests: NonZeroUsize) -> Self {
        self.concurrent_per_sandbox = Some(requests);
        self
    }

    pub(super) fn check(self) -> Result<Self, ConfigError> {
        // http's own limit on a path and query.
        if self.uri_bytes > 65_534 {
            return Err(ConfigError::Limit(
                "a URI cannot be longer than 65,534 bytes",
            ));
        }
        Ok(self)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
