//! Where the proxy sits in the host's path space, and where a request below it leads.
//!
//! The raw path is divided, never a decoded one: what is compared here is what the application, and later the upstream, gets
//! to see. Nothing is trusted yet; whether there is a service of that name is not even asked.

use std::ops::Range;

use http::{Uri, uri::PathAndQuery};

use crate::{ConfigError, rejection::Reason, service::concat, upstream::PathProblem};

/// Where the proxy sits in the host's path space: `""` for everything, or `/proxy`.
#[derive(Debug, Clone)]
pub(super) struct Mount(Box<str>);

/// Where a request leads, told apart once, on the raw path, and not yet trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The service's name stands in the path, here; the rest of the path follows it.
    ByPath(Range<usize>),
    /// The host name leads to this service, and all of the path is the rest.
    ByHost(Box<str>),
    /// Below the mount, but to no name.
    Nowhere,
}

impl Mount {
    pub(super) fn new(mount: &str) -> Result<Self, ConfigError> {
        let inner = mount.trim_matches('/');
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/')
        };
        if !inner.bytes().all(plain) {
            return Err(ConfigError::Mount(
                "holds something else than letters, digits, '-', '.', '_', '~' and slashes",
            ));
        }
        if inner.is_empty() {
            return Ok(Self("".into()));
        }
        if inner
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            return Err(ConfigError::Mount("has an empty or a dot segment"));
        }
        Ok(Self(format!("/{inner}").into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What is below the mount; `None` outside it.
    pub(super) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.0)
            .filter(|below| below.is_empty() || below.starts_with('/'))
    }
}

impl Route {
    /// Reads a path that has `below` at its end, behind the mount.
    pub(super) fn by_path(path: &str, below: &str) -> Self {
        let from = path.len() - below.len() + 1;
        let named = below.strip_prefix('/');
        let Some(named) = named.filter(|named| !named.is_empty() && !named.starts_with('/')) else {
            return Self::Nowhere;
        };
        let name = named.find('/').unwrap_or(named.len());
        Self::ByPath(from..from + name)
    }

    /// The service's name and the rest of the path, which is empty or begins with a slash.
    pub(super) fn split<'r>(&'r self, path: &'r str) -> Result<(&'r str, &'r str), Reason> {
        let found = match self {
            Self::ByPath(name) => path.get(name.clone()).zip(path.get(name.end..)),
            // `*`, for example, would only lengthen the last segment of the target's base path.
            Self::ByHost(service) if path.is_empty() || path.starts_with('/') => {
                Some((&**service, path))
            }
            Self::ByHost(_) | Self::Nowhere => None,
        };
        found.ok_or(Reason::Path(PathProblem::Unroutable))
    }
}

/// The request target as a service sees it: rest and query. Their characters were checked, so what can be wrong is their
/// length.
pub(super) fn reduced(rest: &str, query: Option<&str>) -> Result<Uri, Reason> {
    let rest = if rest.is_empty() { "/" } else { rest };
    path_and_query(rest, query).map(Uri::from)
}

pub(super) fn path_and_query(path: &str, query: Option<&str>) -> Result<PathAndQuery, Reason> {
    concat("", path, query).map_err(|_| Reason::UriTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_forgive_slashes_at_either_end_and_nothing_else() {
        for mount in ["/proxy", "proxy", "/proxy/", "proxy//"] {
            assert_eq!(Mount::new(mount).unwrap().as_str(), "/proxy");
        }
        assert_eq!(Mount::new("/").unwrap().as_str(), "");
        for mount in [
            "/a//b",
            "/a/../b",
            "/./a",
            "/a?b",
            "/a#b",
            "/a%2fb",
            "/a b",
            "/ä",
            "https://h/a",
        ] {
            assert!(
                matches!(Mount::new(mount), Err(ConfigError::Mount(_))),
                "{mount}"
            );
        }
    }

    #[test]
    fn a_path_is_below_a_mount_by_whole_segments() {
        let mount = Mount::new("/proxy").unwrap();
        assert_eq!(mount.below("/proxy/svc/a"), Some("/svc/a"));
        assert_eq!(mount.below("/proxy"), Some(""));
        assert_eq!(mount.below("/proxyish/a"), None);
        assert_eq!(mount.below("/a/proxy/svc"), None);
        assert_eq!(Mount::new("/").unwrap().below("/svc/a"), Some("/svc/a"));
    }

    #[test]
    fn routes_are_a_name_and_a_rest() {
        let mount = Mount::new("/proxy").unwrap();
        let split = |path| {
            let route = Route::by_path(path, mount.below(path).unwrap());
            route
                .split(path)
                .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        };
        for (path, service, rest) in [
            ("/proxy/svc/a/b", "svc", "/a/b"),
            ("/proxy/svc", "svc", ""),
            ("/proxy/svc/", "svc", "/"),
            ("/proxy/svc//a", "svc", "//a"),
        ] {
            assert_eq!(split(path).unwrap(), (service.to_owned(), rest.to_owned()));
        }
        for path in ["/proxy", "/proxy/", "/proxy//svc"] {
            let refused = split(path);
            assert!(
                matches!(refused, Err(Reason::Path(PathProblem::Unroutable))),
                "{path}"
            );
        }
    }
}
