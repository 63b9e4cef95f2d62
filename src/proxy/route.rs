use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING},
    request::Parts,
    uri::PathAndQuery,
};

use crate::{
    ConfigError,
    proxy::{Reason, websocket::is_extended_connect},
    service::{Bounds, Registry, concat},
    upstream::{PathProblem, headers, path},
};

/// Where the proxy sits in the host's path space: `""` for everything, or `/proxy`.
#[derive(Debug, Clone)]
pub(super) struct Mount(Box<str>);

/// A request path below the mount, told apart but not yet trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route<'p> {
    pub(super) service: Cow<'p, str>,
    /// Empty, or begins with a slash.
    pub(super) rest: &'p str,
    /// By the name of the host, and not by the path.
    pub(super) by_host: bool,
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

impl<'p> Route<'p> {
    /// Reads a path below the mount.
    pub(super) fn of(below: &'p str) -> Result<Self, Reason> {
        let Some(path) = below
            .strip_prefix('/')
            .filter(|path| !path.is_empty() && !path.starts_with('/'))
        else {
            return Err(Reason::Path(PathProblem::Unroutable));
        };
        let (service, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        Ok(Self {
            service: Cow::Borrowed(service),
            rest,
            by_host: false,
        })
    }

    /// A request whose host names the service: all of the path is below it.
    pub(super) fn by_host(service: Cow<'p, str>, path: &'p str) -> Result<Self, Reason> {
        // `*`, for example, would only lengthen the last segment of the target's base path.
        if !path.is_empty() && !path.starts_with('/') {
            return Err(Reason::Path(PathProblem::Unroutable));
        }
        Ok(Self {
            service,
            rest: path,
            by_host: true,
        })
    }

    /// The request target as the service sees it: rest and query.
    pub(super) fn uri(&self, query: Option<&str>) -> Result<Uri, Reason> {
        let path = if self.rest.is_empty() { "/" } else { self.rest };
        path_and_query(path, query).map(Uri::from)
    }
}

/// Its characters were checked: what can be wrong is its length.
pub(super) fn path_and_query(path: &str, query: Option<&str>) -> Result<PathAndQuery, Reason> {
    concat("", path, query).map_err(|_| Reason::UriTooLong)
}

/// Refuses methods that no proxy of this kind forwards, and other spellings of those that it does: methods are
/// case-sensitive (RFC 9110 §9.1), but not every server thinks so.
pub(super) fn check_method(parts: &Parts) -> Result<(), Reason> {
    const STANDARD: [Method; 8] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::CONNECT,
    ];
    let method = &parts.method;
    let respelled = |standard: &Method| method.as_str().eq_ignore_ascii_case(standard.as_str());
    match *method {
        Method::CONNECT if is_extended_connect(method, &parts.extensions) => Ok(()),
        Method::TRACE | Method::CONNECT => Err(Reason::Method),
        _ if STANDARD.contains(method) => Ok(()),
        _ if STANDARD.iter().any(respelled) || respelled(&Method::TRACE) => Err(Reason::Method),
        _ => Ok(()),
    }
}

/// Refuses what is too large, and headers that two parsers could read differently.
pub(super) fn check_headers(parts: &Parts, limits: &Bounds) -> Result<(), Reason> {
    let uri = parts
        .uri
        .path_and_query()
        .map_or(0, |whole| whole.as_str().len());
    if uri > limits.uri_bytes {
        return Err(Reason::UriTooLong);
    }
    let headers = &parts.headers;
    check_size(headers, limits.header_fields, limits.header_bytes)?;
    check_host(parts)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Reason::Header("transfer-encoding is not a single chunked"));
    }
    check_length(headers, limits.body_bytes)
}

/// Refuses too many fields, or too large ones.
pub(super) fn check_size(headers: &HeaderMap, fields: usize, bytes: usize) -> Result<(), Reason> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    if headers.len() > fields || size > bytes {
        Err(Reason::HeadersTooLarge)
    } else {
        Ok(())
    }
}

/// Refuses a length that could be read in two ways, and one over the limit.
pub(super) fn check_length(headers: &HeaderMap, limit: u64) -> Result<(), Reason> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(());
    };
    let digits = length
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    let Some(length) = digits.and_then(|digits| digits.parse::<u64>().ok()) else {
        return Err(Reason::Header("content-length is not a number"));
    };
    if lengths.next().is_some() {
        return Err(Reason::Header("more than one content-length"));
    }
    if length > limit {
        Err(Reason::BodyTooLarge)
    } else {
        Ok(())
    }
}

/// At most one `Host`, well-formed (RFC 9112 §3.2); over HTTP/2 it must equal `:authority`.
fn check_host(parts: &Parts) -> Result<(), Reason> {
    if parts
        .uri
        .scheme_str()
        .is_some_and(|scheme| !matches!(scheme, "http" | "https"))
    {
        return Err(Reason::Header("the request target is of another scheme"));
    }
    let authority = parts.uri.authority();
    if authority.is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Reason::Header("the request target has user information"));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => return Ok(()),
        (Some(_), Some(_)) => return Err(Reason::Header("more than one host")),
        (Some(host), None) => host,
    };
    if !is_host(host.as_bytes()) {
        return Err(Reason::Header("malformed host"));
    }
    match authority {
        Some(authority)
            if parts.version >= Version::HTTP_2
                && !authority
                    .as_str()
                    .as_bytes()
                    .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err(Reason::Header("host is not the authority"))
        }
        _ => Ok(()),
    }
}

/// Keeps what HTTP/2 has in `:authority` as `Host`. Where there are both, they are equal, or `Host` is to be ignored
/// (RFC 9112 §3.2.2).
pub(super) fn keep_authority(headers: &mut HeaderMap, asked: &Uri) {
    if let Some(authority) = asked.authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        headers.insert(HOST, host);
    }
}

/// Joins what HTTP/2 may have in pieces (RFC 9113 §8.2.3): HTTP/1 has one `Cookie`.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<_> = headers.get_all(COOKIE).iter().collect();
    if pieces.len() < 2 {
        return;
    }
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2): a name, an IPv4 address or an IPv6 one in brackets.
fn is_host(host: &[u8]) -> bool {
    let end = match host {
        [b'[', ..] => host
            .iter()
            .position(|byte| *byte == b']')
            .map_or(0, |at| at + 1),
        _ => host
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(host.len()),
    };
    let (name, port) = host.split_at_checked(end).unwrap_or((&[], host));
    let bracketed = matches!(name, [b'[', ..]);
    let plain = |byte: &u8| match byte {
        b'[' | b']' | b':' => bracketed,
        b'-' | b'.' | b'_' | b'~' | b'%' => true,
        byte => byte.is_ascii_alphanumeric(),
    };
    let port_is_one = match port {
        [] => true,
        [b':', digits @ ..] => {
            let number = std::str::from_utf8(digits)
                .ok()
                .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
            number.is_some_and(|text| text.parse::<u16>().is_ok())
        }
        _ => false,
    };
    !name.is_empty() && name.iter().all(plain) && port_is_one
}

/// A credential header that is there twice, or is no text, could be read differently by the service and by us.
pub(super) fn check_credentials(parts: &Parts, registry: &Registry) -> Result<(), Reason> {
    for name in parts.headers.keys() {
        let text = name.as_str();
        let counts = *name != COOKIE
            && (headers::is_credential(text)
                || (!registry.injected().is_empty() && registry.injected().contains(text)));
        if !counts {
            continue;
        }
        let mut values = parts.headers.get_all(name).iter();
        if values.next().is_some_and(|value| value.to_str().is_err()) {
            return Err(Reason::Header("a credential header is not text"));
        }
        if values.next().is_some() {
            return Err(Reason::Header("a credential header is there twice"));
        }
    }
    Ok(())
}

/// Refuses a path or query that could be read in two ways.
pub(super) fn check_path(
    rest: &str,
    query: Option<&str>,
    encoded_slashes: bool,
) -> Result<(), Reason> {
    path::check(rest, encoded_slashes).map_err(Reason::Path)?;
    path::check_query(query.unwrap_or_default()).map_err(Reason::Path)
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
    fn a_host_is_a_name_and_a_port() {
        for host in [
            "a.test",
            "a.test:80",
            "a_b.test",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:443",
            "xn--p1ai",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "a.test:",
            ":80",
            "a.test/x",
            "a.test:99999",
            "a.test:8x",
            "a.test:+8",
            "u@a.test",
            "a.test:80:80",
            "[::1",
            "[::1]x",
            "a b",
            "a,b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
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
        for (below, service, rest) in [
            ("/svc/a/b", "svc", "/a/b"),
            ("/svc", "svc", ""),
            ("/svc/", "svc", "/"),
            ("/svc//a", "svc", "//a"),
        ] {
            let route = Route::of(below).unwrap();
            assert_eq!((&*route.service, route.rest), (service, rest));
        }
        for below in ["", "/", "//svc"] {
            assert!(
                matches!(Route::of(below), Err(Reason::Path(PathProblem::Unroutable))),
                "{below}"
            );
        }
    }
}
