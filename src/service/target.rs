//! An upstream's origin and base path. Nothing that a caller sends can change either: paths are joined, never resolved.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use http::{
    Uri, Version,
    uri::{self, Authority, PathAndQuery, Scheme},
};

use crate::{ConfigError, upstream::path};

/// An upstream's origin and base path: `https://host[:port][/path]`, also for WebSockets.
///
/// Nothing a caller sends can change either: request URIs are put together from a target's own scheme and
/// authority, never resolved against it. A call to the service itself, with or without a slash after its name, goes
/// to the base path as it is written here.
///
/// # Example
///
/// ```
/// use sallygate::Target;
///
/// let target = Target::new("https://api.example.com/v1")?;
/// assert!(Target::new("http://api.example.com").is_err());
/// let sidecar = Target::dangerous_plaintext("http://127.0.0.1:8080")?;
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
    base: PathAndQuery,
    http2: bool,
}

impl Target {
    /// Reads a target that is reached over TLS.
    ///
    /// # Errors
    ///
    /// When it is not `https`, has no host, or has user information, a query, a fragment or a path that could be
    /// read in two ways.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Self::parse(url, &Scheme::HTTPS)
    }

    /// Reads an `http://` target. The credential crosses the network in the clear: for loopback and for networks
    /// where something else encrypts.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn dangerous_plaintext(url: &str) -> Result<Self, ConfigError> {
        Self::parse(url, &Scheme::HTTP)
    }

    /// Where a known API is.
    pub(super) fn known(host: &'static str, base: &'static str) -> Self {
        Self {
            scheme: Scheme::HTTPS,
            authority: Authority::from_static(host),
            base: PathAndQuery::from_static(base),
            http2: false,
        }
    }

    /// Speaks HTTP/2 from the first byte on (RFC 9113 §3.3) where nothing negotiates it: for gRPC over plain http. Over
    /// TLS, HTTP/2 is spoken wherever the server offers it, and this changes nothing.
    #[must_use]
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// The version of HTTP to be spoken without asking.
    pub(crate) fn version(&self) -> Version {
        if self.http2 && self.scheme == Scheme::HTTP {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        }
    }

    fn parse(url: &str, scheme: &Scheme) -> Result<Self, ConfigError> {
        let wrong = |problem| Err(ConfigError::Target(problem));
        let Ok(uri) = url.parse::<Uri>() else {
            return wrong("not a URL");
        };
        let parts = uri.into_parts();
        if parts.scheme.as_ref() != Some(scheme) {
            return wrong(if *scheme == Scheme::HTTPS {
                "not https"
            } else {
                "not http"
            });
        }
        let Some(authority) = parts.authority else {
            return wrong("no host");
        };
        if authority.as_str().contains('@') {
            return wrong("holds user information");
        }
        let port = authority
            .as_str()
            .get(authority.host().len()..)
            .unwrap_or_default();
        if authority.host().is_empty()
            || (!port.is_empty() && authority.port_u16().unwrap_or(0) == 0)
        {
            return wrong("not a host, or not a port");
        }
        if url.contains(['?', '#']) {
            return wrong("has a query or a fragment");
        }
        let base = parts
            .path_and_query
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path::check(base.path(), false).is_err() {
            return wrong("its path could be read in two ways");
        }
        Ok(Self {
            scheme: scheme.clone(),
            authority,
            base,
            http2: false,
        })
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The target's origin, its base path, and what was asked for below it. Nothing is resolved.
    pub(crate) fn join(&self, below: &PathAndQuery) -> Result<Uri, http::Error> {
        let joined = match (below.path(), self.prefix()) {
            // The service itself: the base path as it was written.
            ("/", _) => concat(self.base.path(), "", below.query())?,
            (_, "") => below.clone(),
            (path, prefix) => concat(prefix, path, below.query())?,
        };
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(joined);
        Ok(Uri::from_parts(parts)?)
    }

    /// Origin and base path, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.prefix())
    }

    /// What request paths are put behind: the base path without a slash at its end.
    pub(crate) fn prefix(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }

    /// Whether scheme, host and port are this target's. The scheme's default port may be left out.
    pub(crate) fn same_origin(
        &self,
        scheme: Option<&Scheme>,
        authority: Option<&Authority>,
    ) -> bool {
        let Some(authority) = authority else {
            return false;
        };
        scheme == Some(&self.scheme)
            && !authority.as_str().contains('@')
            && (*authority == self.authority
                || (authority.host().eq_ignore_ascii_case(self.authority.host())
                    && self.port(authority) == self.port(&self.authority)))
    }

    fn port(&self, authority: &Authority) -> u16 {
        authority
            .port_u16()
            .unwrap_or(if self.scheme == Scheme::HTTPS {
                443
            } else {
                80
            })
    }
}

/// Puts a path and a query together, byte for byte.
pub(crate) fn concat(
    prefix: &str,
    path: &str,
    query: Option<&str>,
) -> Result<PathAndQuery, http::Error> {
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    let whole = Bytes::from([prefix, path, mark, query].concat());
    Ok(PathAndQuery::from_maybe_shared(whole)?)
}

impl FromStr for Target {
    type Err = ConfigError;

    fn from_str(url: &str) -> Result<Self, ConfigError> {
        Self::new(url)
    }
}

/// Shows nothing: a target may be as secret as the key.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}
