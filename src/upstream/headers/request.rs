use std::collections::HashSet;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{TE, TRAILER},
};

use super::{
    connection_options, is_credential, is_framing, is_hop_by_hop, lists, remove_all, shows,
};
use crate::service::{DEFAULT, Policy};

/// What happens to a header of the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    /// Removed, and shown to the service.
    Take,
    /// Removed whatever a service says: it belongs to the connection.
    Drop,
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
            Fate::Pass if shows(value.as_bytes(), token) => {
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
    let passes = || policy.pass_request.contains(name);
    match fate_of_request(plain) {
        _ if named.contains(name) => Fate::Drop,
        _ if injected.contains(plain) => Fate::Take,
        Fate::Take if passes() => Fate::Pass,
        fate => fate,
    }
}

/// The caller's trailers are held to the same rules as its headers.
pub(crate) fn clean_request_trailers(
    trailers: &mut HeaderMap,
    injected: &HashSet<String>,
    token: &str,
) {
    let showing: Vec<_> = trailers
        .iter()
        .filter(|(_, value)| shows(value.as_bytes(), token))
        .map(|(name, _)| name.clone())
        .collect();
    remove_all(trailers, |name| {
        is_framing(name)
            || showing.contains(name)
            || fate(name, &DEFAULT, injected, &[]) != Fate::Pass
    });
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

fn is_alias(one: &HeaderName, other: &HeaderName) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let dash = |byte: u8| if byte == b'_' { b'-' } else { byte };
    one.len() == other.len() && one.bytes().map(dash).eq(other.bytes().map(dash))
}
