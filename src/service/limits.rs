//! Limits and time-outs, of a proxy and of one service: one type to set them, and one to read them, in which the two are
//! merged and the defaults filled in.

use std::{num::NonZeroUsize, time::Duration};

use crate::upstream::YEAR;

/// How large, how long and how many: for a proxy, or for one of its services.
///
/// A proxy takes them with [`ProxyLayer::limits`](crate::ProxyLayer::limits), a service with
/// [`Policy::limits`](crate::Policy::limits). Where both say something, the smaller size and both numbers of requests at a
/// time hold; of the time-outs, the service's own counts. What neither sets has the default that stands at the setter.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use sallygate::{Api, Credential, JwtVerifier, Limits, Policy, ProxyLayer, Target};
///
/// let api = Api::bearer(Target::new("https://api.example.com")?, Credential::new("sk-live-0123456789")?)
///     .limits(Limits::new().response_timeout(Duration::from_secs(30)));
/// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?
///     .limits(Limits::new().body_bytes(64 << 20).header_bytes(32 << 10))
///     .service("myapi", api)?;
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    body_bytes: Option<u64>,
    header_bytes: Option<usize>,
    header_fields: Option<usize>,
    uri_bytes: Option<usize>,
    response_bytes: Option<u64>,
    response_header_bytes: Option<usize>,
    response_header_fields: Option<usize>,
    connect_timeout: Option<Duration>,
    response_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    unread_timeout: Option<Duration>,
    expiry_grace: Option<Duration>,
    concurrent: Option<NonZeroUsize>,
    concurrent_per_sandbox: Option<NonZeroUsize>,
}

impl Limits {
    /// Sets nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            body_bytes: None,
            header_bytes: None,
            header_fields: None,
            uri_bytes: None,
            response_bytes: None,
            response_header_bytes: None,
            response_header_fields: None,
            connect_timeout: None,
            response_timeout: None,
            idle_timeout: None,
            unread_timeout: None,
            expiry_grace: None,
            concurrent: None,
            concurrent_per_sandbox: None,
        }
    }

    /// Longest body of a request. A longer one is answered with 413, early if its length is announced. Defaults to 16 GiB.
    #[must_use]
    pub const fn body_bytes(mut self, bytes: u64) -> Self {
        self.body_bytes = Some(bytes);
        self
    }

    /// Size of all header fields of a request together, each counted as name, value and 32 more (RFC 9113 §6.5.2). Larger
    /// ones are answered with 431. Defaults to 64 KiB.
    #[must_use]
    pub const fn header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = Some(bytes);
        self
    }

    /// Number of header fields of a request; more are answered with 431. Defaults to 100, and is never more than 24,000.
    #[must_use]
    pub const fn header_fields(mut self, fields: usize) -> Self {
        self.header_fields = Some(fields);
        self
    }

    /// Longest path and query; a longer one is answered with 414. Defaults to 16 KiB, and is never more than 65,534 bytes,
    /// which is the limit of the `http` crate. It holds for the proxy as a whole, since it is checked before the service
    /// is known: that of a service is not looked at.
    #[must_use]
    pub const fn uri_bytes(mut self, bytes: usize) -> Self {
        self.uri_bytes = Some(bytes);
        self
    }

    /// Longest body of a response. A longer one is broken off, and one whose length is announced is answered with 502.
    /// Defaults to any length.
    #[must_use]
    pub const fn response_bytes(mut self, bytes: u64) -> Self {
        self.response_bytes = Some(bytes);
        self
    }

    /// Size of all header fields of an upstream's response together, counted as those of a request. Larger ones are
    /// answered with 502. Defaults to 64 KiB.
    #[must_use]
    pub const fn response_header_bytes(mut self, bytes: usize) -> Self {
        self.response_header_bytes = Some(bytes);
        self
    }

    /// Number of header fields of an upstream's response; more are answered with 502. Defaults to 256.
    #[must_use]
    pub const fn response_header_fields(mut self, fields: usize) -> Self {
        self.response_header_fields = Some(fields);
        self
    }

    /// Gives up on a connection to the upstream after this long, TLS included. Defaults to
    /// [`Client::connect_timeout`](crate::Client::connect_timeout), whose setting it takes the place of. An outbound service
    /// other than a [`Client`](crate::Client) does not know of it.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Gives up on a response that does not begin for this long. Defaults to
    /// [`Client::response_timeout`](crate::Client::response_timeout), whose setting it takes the place of. An outbound
    /// service other than a [`Client`](crate::Client) does not know of it.
    #[must_use]
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = Some(timeout);
        self
    }

    /// Gives up on a body, of a request or a response, or on a WebSocket, when nothing has come for this long. Defaults to
    /// ten minutes. How long a body may take as a whole is limited by the token alone
    /// ([`expiry_grace`](Self::expiry_grace)).
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Gives up on a response that its caller has not read on for this long, or up to twice that, and on an upload that the
    /// upstream has not. What they hold is free then: permits, and the connection at the other side. Defaults to ten
    /// minutes.
    ///
    /// A server asks for more of a response only when the buffers of the system, several megabytes, have room: a caller
    /// that is slow may take minutes between two reads. A request whose upload is not read, and that has no response yet,
    /// is answered with 504.
    #[must_use]
    pub const fn unread_timeout(mut self, timeout: Duration) -> Self {
        self.unread_timeout = Some(timeout);
        self
    }

    /// Breaks off an upload or a response when its token has been expired for this long. A response that begins after the
    /// expiry has as long from then on, and waiting for one is not ended by it. WebSockets end with their token in any
    /// case, and what is revoked ends at once. Defaults to five seconds: an API whose responses take minutes, and cost
    /// money, may want more.
    #[must_use]
    pub const fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = Some(grace);
        self
    }

    /// How many requests may be under way at a time, each until its response and its upload have ended: at a service, or,
    /// of a proxy, at all its services together. One more is answered with 503. Defaults to any number.
    #[must_use]
    pub const fn concurrent(mut self, requests: NonZeroUsize) -> Self {
        self.concurrent = Some(requests);
        self
    }

    /// How many requests of one sandbox may be under way at a time, counted as for [`concurrent`](Self::concurrent). One
    /// more is answered with 429. Defaults to any number.
    #[must_use]
    pub const fn concurrent_per_sandbox(mut self, requests: NonZeroUsize) -> Self {
        self.concurrent_per_sandbox = Some(requests);
        self
    }

    /// These, and where they say nothing those of `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            body_bytes: self.body_bytes.or(other.body_bytes),
            header_bytes: self.header_bytes.or(other.header_bytes),
            header_fields: self.header_fields.or(other.header_fields),
            uri_bytes: self.uri_bytes.or(other.uri_bytes),
            response_bytes: self.response_bytes.or(other.response_bytes),
            response_header_bytes: self.response_header_bytes.or(other.response_header_bytes),
            response_header_fields: self.response_header_fields.or(other.response_header_fields),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            response_timeout: self.response_timeout.or(other.response_timeout),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            unread_timeout: self.unread_timeout.or(other.unread_timeout),
            expiry_grace: self.expiry_grace.or(other.expiry_grace),
            concurrent: self.concurrent.or(other.concurrent),
            concurrent_per_sandbox: self.concurrent_per_sandbox.or(other.concurrent_per_sandbox),
        }
    }
}

/// What holds for a request: the limits of a proxy and those of a service, merged, with the defaults in place.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) body_bytes: u64,
    pub(crate) header_bytes: usize,
    pub(crate) header_fields: usize,
    pub(crate) uri_bytes: usize,
    pub(crate) response_bytes: u64,
    pub(crate) response_header_bytes: usize,
    pub(crate) response_header_fields: usize,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) idle_timeout: Duration,
    pub(crate) unread_timeout: Duration,
    pub(crate) expiry_grace: Duration,
    pub(crate) concurrent: Option<NonZeroUsize>,
    pub(crate) concurrent_per_sandbox: Option<NonZeroUsize>,
}

/// The maps of the `http` crate panic above 24,576 different names, and some are added on the way.
const HEADER_FIELDS_MAX: usize = 24_000;

/// The longest path and query that the `http` crate takes.
const URI_BYTES_MAX: usize = 65_534;

/// Nobody looks more often than this whether a body is read.
const UNREAD_MIN: Duration = Duration::from_millis(100);

impl Bounds {
    /// Of a proxy, before the service is known.
    pub(crate) fn of_proxy(limits: &Limits) -> Self {
        // What is meant by the longest duration there is: no time-out at all.
        let time = |own: Option<Duration>, default| own.unwrap_or(default).min(YEAR);
        Self {
            body_bytes: limits.body_bytes.unwrap_or(16 << 30),
            header_bytes: limits.header_bytes.unwrap_or(64 << 10),
            header_fields: limits.header_fields.unwrap_or(100).min(HEADER_FIELDS_MAX),
            uri_bytes: limits.uri_bytes.unwrap_or(16 << 10).min(URI_BYTES_MAX),
            response_bytes: limits.response_bytes.unwrap_or(u64::MAX),
            response_header_bytes: limits.response_header_bytes.unwrap_or(64 << 10),
            response_header_fields: limits.response_header_fields.unwrap_or(256),
            connect_timeout: limits.connect_timeout,
            response_timeout: limits.response_timeout,
            idle_timeout: time(limits.idle_timeout, Duration::from_secs(600)),
            unread_timeout: time(limits.unread_timeout, Duration::from_secs(600)).max(UNREAD_MIN),
            expiry_grace: time(limits.expiry_grace, Duration::from_secs(5)),
            concurrent: limits.concurrent,
            concurrent_per_sandbox: limits.concurrent_per_sandbox,
        }
    }

    /// Of a service: the smaller size, its own time-outs, and its own numbers of requests at a time, which are counted
    /// beside the proxy's.
    pub(crate) fn of_service(proxy: &Limits, own: &Limits) -> Self {
        let outer = Self::of_proxy(proxy);
        let merged = Self::of_proxy(&own.or(*proxy));
        Self {
            body_bytes: merged.body_bytes.min(outer.body_bytes),
            header_bytes: merged.header_bytes.min(outer.header_bytes),
            header_fields: merged.header_fields.min(outer.header_fields),
            uri_bytes: outer.uri_bytes,
            response_bytes: merged.response_bytes.min(outer.response_bytes),
            response_header_bytes: merged
                .response_header_bytes
                .min(outer.response_header_bytes),
            response_header_fields: merged
                .response_header_fields
                .min(outer.response_header_fields),
            concurrent: own.concurrent,
            concurrent_per_sandbox: own.concurrent_per_sandbox,
            ..merged
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::of_proxy(&Limits::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_narrow_and_time_outs_are_the_service_s_own() {
        let second = Duration::from_secs(1);
        let proxy = Limits::new()
            .body_bytes(10)
            .header_fields(5)
            .idle_timeout(second);
        let own = Limits::new()
            .body_bytes(20)
            .header_fields(3)
            .uri_bytes(7)
            .idle_timeout(2 * second);
        let bounds = Bounds::of_service(&proxy, &own);
        assert_eq!((bounds.body_bytes, bounds.header_fields), (10, 3));
        assert_eq!(
            (bounds.uri_bytes, bounds.header_bytes),
            (16 << 10, 64 << 10)
        );
        assert_eq!(
            (bounds.idle_timeout, bounds.expiry_grace),
            (2 * second, 5 * second)
        );
    }

    #[test]
    fn what_http_cannot_hold_is_not_asked_of_it() {
        let bounds = Bounds::of_proxy(
            &Limits::new()
                .header_fields(usize::MAX)
                .uri_bytes(usize::MAX),
        );
        assert_eq!((bounds.header_fields, bounds.uri_bytes), (24_000, 65_534));
    }

    #[test]
    fn only_what_is_set_takes_the_place_of_what_was() {
        let before = Limits::new().body_bytes(10).header_bytes(20);
        let bounds = Bounds::of_proxy(&Limits::new().body_bytes(30).or(before));
        assert_eq!((bounds.body_bytes, bounds.header_bytes), (30, 20));
    }
}
