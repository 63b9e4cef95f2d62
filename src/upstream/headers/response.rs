use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, TRANSFER_ENCODING,
        VIA, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{is_credential, is_framing, is_proxy_authentication, remove_all, remove_hop_by_hop};
use crate::service::{Injected, Policy};

/// Headers by which an upstream would act on the host application or on the proxy's origin.
fn is_for_the_host(name: &str) -> bool {
    matches!(
        name,
        "set-cookie"
            | "set-cookie2"
            | "alt-svc"
            | "strict-transport-security"
            | "clear-site-data"
            | "service-worker-allowed"
            | "refresh"
            | "accept-ch"
            | "nel"
            | "set-login"
            | "speculation-rules"
            | "use-as-dictionary"
            | "report-to"
            | "reporting-endpoints"
            | "public-key-pins"
            | "public-key-pins-report-only"
            | "edge-control"
            | "surrogate-control"
            | "x-lighttpd-send-file"
            | "x-lighttpd-send-tempfile"
            | "x-reproxy-url"
            | "x-reproxy-file"
    ) || name.starts_with("access-control-")
        || name.starts_with("x-accel-")
        || name.starts_with("x-litespeed-")
        || name.starts_with("x-sendfile")
        || name.ends_with("cdn-cache-control")
}

/// The framing of a response that could be read in two ways (RFC 9112 §6.3), or that was not asked for.
pub(crate) fn is_broken_response(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => headers.get_all(CONTENT_LENGTH).iter().count() > 1,
        (Some(coding), None) => {
            !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                || headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => true,
    }
}

/// What happens to the headers of a response, but for those that lead elsewhere.
pub(crate) fn clean_response(headers: &mut HeaderMap, policy: &Policy, used: &Injected) {
    remove_from_response(headers, policy);
    if headers.contains_key(WWW_AUTHENTICATE) {
        retain_values(headers, WWW_AUTHENTICATE, |value| {
            !is_for_a_connection(value)
        });
    }
    redact(headers, used);
    keep_private(headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get_all(CONTENT_TYPE).iter().any(is_active_content) {
        headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
}

fn remove_from_response(headers: &mut HeaderMap, policy: &Policy) {
    remove_hop_by_hop(headers, |name| {
        *name == VIA || (is_for_the_host(name.as_str()) && !policy.pass_response.contains(name))
    });
}

/// Framing, credential and cookie fields have no business in a trailer section (RFC 9110 §6.5.1).
pub(crate) fn clean_trailers(trailers: &mut HeaderMap, used: &Injected) {
    remove_all(trailers, |name| {
        let text = name.as_str();
        is_framing(name)
            || is_credential(text)
            || is_proxy_authentication(text)
            || is_for_the_host(text)
            || matches!(
                text,
                "www-authenticate"
                    | "location"
                    | "cache-control"
                    | "content-type"
                    | "content-encoding"
                    | "content-range"
            )
    });
    redact(trailers, used);
}

fn redact(headers: &mut HeaderMap, used: &Injected) {
    remove_all(headers, |name| {
        used.is_contained_in(name.as_str().as_bytes())
    });
    for (name, value) in headers.iter_mut() {
        if used.is_contained_in(value.as_bytes()) && *name != CONTENT_LENGTH {
            *value = HeaderValue::from_static("[redacted]");
        }
    }
}

/// Schemes that authenticate a connection, which others use after this caller. One of them spoils its whole list.
fn is_for_a_connection(challenges: &HeaderValue) -> bool {
    let mut words = challenges
        .as_bytes()
        .split(|byte| !byte.is_ascii_alphanumeric());
    words.any(|word| word.eq_ignore_ascii_case(b"ntlm") || word.eq_ignore_ascii_case(b"negotiate"))
}

fn retain_values(headers: &mut HeaderMap, name: HeaderName, keep: impl Fn(&HeaderValue) -> bool) {
    let kept: Vec<_> = headers
        .get_all(&name)
        .iter()
        .filter(|value| keep(value))
        .cloned()
        .collect();
    headers.remove(&name);
    for value in kept {
        headers.append(name.clone(), value);
    }
}

/// A cache in front of the proxy must not give one caller's response to another.
fn keep_private(headers: &mut HeaderMap) {
    let private = match headers.get(CACHE_CONTROL) {
        None => HeaderValue::from_static("private"),
        // A list within quotes is no list of directives: better none too many.
        Some(value) if value.as_bytes().contains(&b'"') => {
            HeaderValue::from_static("private, no-store")
        }
        Some(_) => {
            let mut directives: Vec<&[u8]> = vec![b"private"];
            directives.extend(
                headers
                    .get_all(CACHE_CONTROL)
                    .iter()
                    .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
                    .map(<[u8]>::trim_ascii)
                    .filter(|directive| {
                        let name = directive
                            .split(|byte| *byte == b'=')
                            .next()
                            .unwrap_or_default();
                        !["public", "private", "s-maxage", ""]
                            .iter()
                            .any(|shared| name.trim_ascii().eq_ignore_ascii_case(shared.as_bytes()))
                    }),
            );
            HeaderValue::from_bytes(&directives.join(&b", "[..]))
                .unwrap_or(HeaderValue::from_static("private, no-store"))
        }
    };
    headers.insert(CACHE_CONTROL, private);
}

/// Content that runs scripts when a browser opens it: HTML, and XML of any kind.
fn is_active_content(content_type: &HeaderValue) -> bool {
    let active = |word: &[u8]| {
        ["html", "xhtml", "xml"]
            .iter()
            .any(|kind| word.eq_ignore_ascii_case(kind.as_bytes()))
    };
    content_type
        .as_bytes()
        .split(|byte| !byte.is_ascii_alphanumeric())
        .any(active)
}
