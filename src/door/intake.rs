//! What is checked of a request before anybody looks at it: whether it is one message, in one reading.
//!
//! Two parsers that read a request differently are how requests are smuggled past rules. So nothing here is repaired:
//! whatever could be read in two ways is refused, each check with the RFC that it keeps. The checks ask nothing of a door,
//! and none of them knows who calls.
//!
//! The HTTP server in front has parsed the request already, and most servers are strict. But this is a library: it does not
//! know which server that is, requests also come in process, and what one server accepts another one behind us may read in
//! another way. So each door makes these checks, in this order: [`check_method`], [`check_headers`], its own routing, then
//! [`check_path`] on what is left, and [`keep_authority`] and [`join_cookies`] before headers are looked at.

use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING},
    request::Parts,
};

use crate::{
    forward::is_extended_connect,
    rejection::Reason,
    service::Bounds,
    upstream::{headers, path},
};

/// Refuses methods that no intermediary of this kind forwards, and other spellings of those that it does: methods are
/// case-sensitive (RFC 9110 §9.1), but not every server thinks so.
///
/// `TRACE` makes an upstream repeat the request to the caller, key and all. `CONNECT` makes a tunnel of the connection, and
/// no rule would see what goes through it; the one exception is the `CONNECT` by which HTTP/2 asks for a WebSocket
/// (RFC 8441).
pub(crate) fn check_method(parts: &Parts) -> Result<(), Reason> {
    /// Whoever spells one of these in another way means to get past a rule that names it.
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
///
/// The order is that of the status table: 414 before 431, and both before the framing, so that a response does not depend on
/// what else is wrong with a request.
pub(crate) fn check_headers(parts: &Parts, bounds: &Bounds) -> Result<(), Reason> {
    let uri = parts
        .uri
        .path_and_query()
        .map_or(0, |whole| whole.as_str().len());
    if uri > bounds.uri_bytes {
        return Err(Reason::UriTooLong);
    }
    let headers = &parts.headers;
    check_size(headers, bounds.header_fields, bounds.header_bytes)?;
    check_host(parts)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Reason::Header("transfer-encoding is not a single chunked"));
    }
    check_length(headers, bounds.body_bytes)
}

/// Refuses too many fields, or too large ones, each counted as HTTP/2 does: 431.
pub(crate) fn check_size(headers: &HeaderMap, fields: usize, bytes: usize) -> Result<(), Reason> {
    if headers.len() > fields || headers::size(headers) > bytes {
        Err(Reason::HeadersTooLarge)
    } else {
        Ok(())
    }
}

/// Refuses a length that could be read in two ways (RFC 9110 §8.6), and one over the limit: a body that is announced as too
/// long is refused before a byte of it is read.
pub(crate) fn check_length(headers: &HeaderMap, limit: u64) -> Result<(), Reason> {
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

/// Refuses what could lead to another host: another scheme, user information, more than one `Host` or a malformed one
/// (RFC 9112 §3.2). Over HTTP/2 it must equal `:authority`.
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

/// Keeps what HTTP/2 has in `:authority` as `Host`, where rules and services look for it. Where there are both, they are
/// equal, or `Host` is to be ignored (RFC 9112 §3.2.2).
pub(crate) fn keep_authority(headers: &mut HeaderMap, asked: &Uri) {
    if let Some(authority) = asked.authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        headers.insert(HOST, host);
    }
}

/// Joins what HTTP/2 may have in pieces (RFC 9113 §8.2.3): HTTP/1 has one `Cookie`, and a server behind us might read only
/// the first of several.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<_> = headers.get_all(COOKIE).iter().collect();
    if pieces.len() < 2 {
        return;
    }
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Whether it is `uri-host [ ":" port ]` (RFC 9110 §7.2): a name, an IPv4 address or an IPv6 one in brackets.
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

/// Refuses a path or query that could be read in two ways.
///
/// Slashes that are encoded pass where they are asked for; servers disagree on whether they separate segments.
pub(crate) fn check_path(
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
}
