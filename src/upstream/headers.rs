use std::collections::HashSet;

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, TE,
        TRAILER, TRANSFER_ENCODING, VIA, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::{ConfigError, service::Policy, service::Used};

/// What happens to a header of the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    /// Removed, and shown to the service.
    Take,
    /// Removed whatever a service says: it belongs to the connection.
    Drop,
}

/// RFC 9110 §7.6.1 and its history, what frames a message, and what HTTP itself writes anew.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

pub(crate) fn is_framing(name: &HeaderName) -> bool {
    is_hop_by_hop(name.as_str()) || matches!(*name, HOST | CONTENT_LENGTH | TRAILER)
}

/// Where APIs take keys.
pub(crate) fn is_credential(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "proxy-authorization"
            | "cookie"
            | "cookie2"
            | "x-api-key"
            | "x-goog-api-key"
            | "api-key"
            | "apikey"
            | "x-auth-token"
            | "x-amz-security-token"
    )
}

/// Who calls, from where, and what they would rather have asked.
fn is_about_the_caller(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-forwarded"
            | "via"
            | "origin"
            | "referer"
            | "x-real-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-original-forwarded-for"
            | "x-original-url"
            | "x-original-host"
            | "x-rewrite-url"
            | "x-host"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
            | "true-client-ip"
            | "fastly-client-ip"
            | "x-envoy-external-address"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("cf-")
}

fn fate_of_request(name: &str) -> Fate {
    if is_hop_by_hop(name) || matches!(name, "host" | "content-length" | "expect") {
        Fate::Drop
    } else if is_credential(name) || is_about_the_caller(name) {
        Fate::Take
    } else {
        Fate::Pass
    }
}

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
            | "nel"
            | "report-to"
            | "reporting-endpoints"
            | "public-key-pins"
            | "public-key-pins-report-only"
            | "x-sendfile"
            | "x-lighttpd-send-file"
            | "x-lighttpd-send-tempfile"
            | "x-reproxy-url"
            | "x-reproxy-file"
    ) || name.starts_with("access-control-")
        || name.starts_with("x-accel-")
}

fn is_proxy_authentication(name: &str) -> bool {
    matches!(
        name,
        "proxy-authenticate" | "proxy-authorization" | "proxy-authentication-info"
    )
}

/// A service may not let through what belongs to the connection.
pub(crate) fn check_passable(names: &[HeaderName]) -> Result<(), ConfigError> {
    if names
        .iter()
        .any(|name| is_framing(name) || is_proxy_authentication(name.as_str()))
    {
        return Err(ConfigError::Header(
            "belongs to the connection and cannot be let through",
        ));
    }
    Ok(())
}

/// Splits the caller's headers into those that travel on and those that were taken out.
pub(crate) fn split_request(
    headers: HeaderMap,
    policy: &Policy,
    injected: &HashSet<String>,
    token: &str,
) -> (HeaderMap, HeaderMap) {
    let named = connection_options(&headers);
    let trailers_wanted = headers
        .get_all(TE)
        .iter()
        .any(|value| lists(value, "trailers"));
    let mut passed = HeaderMap::with_capacity(headers.len());
    let mut taken = HeaderMap::new();
    let mut last = None;
    for (name, value) in headers {
        // Further values of a header come without its name.
        if let Some(name) = name {
            last = Some((fate(&name, policy, injected, &named), name));
        }
        let Some((fate, name)) = &last else { continue };
        match fate {
            Fate::Pass if shows(&value, token) => {
                taken.append(name.clone(), value);
            }
            Fate::Pass => {
                passed.append(name.clone(), value);
            }
            Fate::Take => {
                taken.append(name.clone(), value);
            }
            Fate::Drop => {}
        }
    }
    if trailers_wanted {
        passed.insert(TE, HeaderValue::from_static("trailers"));
    }
    (passed, taken)
}

fn fate(
    name: &HeaderName,
    policy: &Policy,
    injected: &HashSet<String>,
    named: &[HeaderName],
) -> Fate {
    // Many servers read `x_api_key` as `x-api-key`.
    let dashed;
    let plain = if name.as_str().contains('_') {
        dashed = name.as_str().replace('_', "-");
        dashed.as_str()
    } else {
        name.as_str()
    };
    let is_injected = injected.contains(plain);
    let fate = if is_injected {
        Fate::Take
    } else {
        fate_of_request(plain)
    };
    if named.contains(name) {
        return Fate::Drop;
    }
    if fate == Fate::Take && policy.pass_request.contains(name) {
        Fate::Pass
    } else {
        fate
    }
}

fn shows(value: &HeaderValue, token: &str) -> bool {
    value.len() >= token.len() && memchr::memmem::find(value.as_bytes(), token.as_bytes()).is_some()
}

/// The fields that `Connection` names, which end at this hop.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    let usual = |option: &[u8]| {
        option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
    };
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| !usual(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect()
}

/// Whether a comma-separated list has this item, parameters aside.
pub(crate) fn lists(value: &HeaderValue, item: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|listed| {
        let name = listed
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(item.as_bytes())
    })
}

/// After `transform`: what it set about the connection goes, and what it injected stands alone.
pub(crate) fn seal_request(headers: &mut HeaderMap) {
    let trailers_wanted = headers.get(TE).is_some_and(|value| value == "trailers");
    remove_all(headers, |name| is_framing(name) && *name != TRAILER);
    if trailers_wanted {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let mut injected = Vec::new();
    for (name, value) in headers.iter().filter(|(_, value)| value.is_sensitive()) {
        let alone = headers.get_all(name).iter().count() == 1
            && !headers
                .keys()
                .any(|other| other != name && is_alias(other, name));
        if !alone {
            injected.push((name.clone(), value.clone()));
        }
    }
    for (name, value) in injected {
        remove_all(headers, |other| is_alias(other, &name));
        headers.insert(name, value);
    }
}

/// Taking one out moves another into its place: the order of what stays is not kept.
fn remove_all(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| goes(name)).cloned() {
        headers.remove(name);
    }
}

fn is_alias(one: &HeaderName, other: &HeaderName) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let dash = |byte: u8| if byte == b'_' { b'-' } else { byte };
    one.len() == other.len() && one.bytes().map(dash).eq(other.bytes().map(dash))
}

/// The framing of an answer that could be read in two ways (RFC 9112 §6.3), or that was not asked for.
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

/// What happens to the headers of an answer, but for those that lead elsewhere.
pub(crate) fn clean_response(headers: &mut HeaderMap, policy: &Policy, used: &Used) {
    remove_from_response(headers, policy);
    if headers.contains_key(WWW_AUTHENTICATE) {
        retain_values(headers, WWW_AUTHENTICATE, |value| {
            !(scheme_is(value, "ntlm") || scheme_is(value, "negotiate"))
        });
    }
    redact(headers, used);
    keep_private(headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get(CONTENT_TYPE).is_some_and(is_active_content) {
        headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
}

fn remove_from_response(headers: &mut HeaderMap, policy: &Policy) {
    let named = connection_options(headers);
    headers.remove(CONNECTION);
    let goes = |name: &HeaderName| {
        let text = name.as_str();
        is_hop_by_hop(text)
            || is_proxy_authentication(text)
            || text == "via"
            || (named.contains(name) && !is_framing(name))
            || (is_for_the_host(text) && !policy.pass_response.contains(name))
    };
    remove_all(headers, goes);
}

/// Framing, credential and cookie fields have no business in a trailer section (RFC 9110 §6.5.1).
pub(crate) fn clean_trailers(trailers: &mut HeaderMap, used: &Used) {
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

/// The caller's trailers: as above, and the token goes too.
pub(crate) fn clean_request_trailers(trailers: &mut HeaderMap, token: &str) {
    let showing: Vec<_> = trailers
        .iter()
        .filter(|(_, value)| shows(value, token))
        .map(|(name, _)| name.clone())
        .collect();
    remove_all(trailers, |name| {
        is_framing(name)
            || showing.contains(name)
            || fate_of_request(&name.as_str().replace('_', "-")) != Fate::Pass
    });
}

fn redact(headers: &mut HeaderMap, used: &Used) {
    for (name, value) in headers.iter_mut() {
        if used.shows_in(value.as_bytes()) && *name != CONTENT_LENGTH {
            *value = HeaderValue::from_static("[redacted]");
        }
    }
}

fn scheme_is(challenge: &HeaderValue, scheme: &str) -> bool {
    let given = challenge
        .as_bytes()
        .split(|byte| *byte == b' ')
        .next()
        .unwrap_or_default();
    given.trim_ascii().eq_ignore_ascii_case(scheme.as_bytes())
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

/// A cache in front of the proxy must not give one caller's answer to another.
fn keep_private(headers: &mut HeaderMap) {
    let private = match headers.get(CACHE_CONTROL) {
        None => HeaderValue::from_static("private"),
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

/// Content that runs scripts when a browser opens it.
fn is_active_content(content_type: &HeaderValue) -> bool {
    ["text/html", "image/svg+xml", "application/xhtml+xml"]
        .iter()
        .any(|active| lists(content_type, active))
}

/// Which of our two names to sign with: the protocol the message came in by (RFC 9110 §7.6.3).
pub(crate) fn sign(headers: &mut HeaderMap, version: Version, via: &[HeaderValue; 2]) {
    let [http1, http2] = via;
    headers.insert(
        VIA,
        if version == Version::HTTP_2 {
            http2
        } else {
            http1
        }
        .clone(),
    );
}
