use std::{error::Error, io};

use hyper_util::client::legacy;
use tower::{BoxError, load_shed, timeout};

/// What went wrong between the proxy and an upstream. Carries no address, no header and no error text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The response was not HTTP, or was framed in a way that could be read differently.
    #[error("broken response")]
    Broken,
    /// The connection ended before the response.
    #[error("closed")]
    Closed,
    /// No connection could be made: refused, unreachable, no such name, or a TLS handshake that broke off.
    #[error("no connection")]
    Connect,
    /// The outbound service failed in a way not known here.
    #[error("failed")]
    Other,
    /// The outbound service turned the request away (`tower::load_shed`).
    #[error("overloaded")]
    Overloaded,
    /// No response in time.
    #[error("timed out")]
    Timeout,
    /// The response is longer than the service may send.
    #[error("too large")]
    TooLarge,
    /// The certificate does not verify, or the other side does not speak TLS.
    #[error("no TLS")]
    Tls,
}

/// No response, or no connection, in time.
#[derive(Debug, thiserror::Error)]
#[error("timed out")]
pub(super) struct TimedOut;

impl UpstreamError {
    /// Reads the kind off an error of the default client, of hyper, or of tower's time-out and load-shed.
    pub(crate) fn of(error: &BoxError) -> Self {
        let mut connect = false;
        let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
        while let Some(error) = next {
            if error.is::<TimedOut>() || error.is::<timeout::error::Elapsed>() {
                return Self::Timeout;
            }
            if error.is::<load_shed::error::Overloaded>() {
                return Self::Overloaded;
            }
            if error.is::<rustls::Error>() {
                return Self::Tls;
            }
            if let Some(error) = error.downcast_ref::<legacy::Error>() {
                connect |= error.is_connect();
            }
            if let Some(kind) = error
                .downcast_ref::<hyper::Error>()
                .and_then(Self::of_hyper)
            {
                return kind;
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                if let Some(inner) = error.get_ref() {
                    // Its own source would skip what it wraps.
                    next = Some(inner);
                    continue;
                }
                if !connect {
                    return Self::Closed;
                }
            }
            next = error.source();
        }
        if connect { Self::Connect } else { Self::Other }
    }

    fn of_hyper(error: &hyper::Error) -> Option<Self> {
        if error.is_timeout() {
            Some(Self::Timeout)
        } else if error.is_parse() || error.is_parse_status() {
            Some(Self::Broken)
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            Some(Self::Closed)
        } else {
            None
        }
    }
}
