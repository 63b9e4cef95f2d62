use std::collections::{BTreeSet, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{HOST, TE, TRAILER},
};

use super::{
    connection_options, contains, is_credential, is_framing, is_hop_by_hop, lists, plain_name,
    remove_all,
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
    const PREFIXES: [&str; 15] = [
        "x-forwarded-",
        "cf-",
        "client-cert",
        "fly-",
        "remote-",
        "x-amzn-oidc-",
        "x-appengine-",
        "x-auth-request-",
        "x-azure-",
        "x-envoy-",
        "x-goog-authenticated-user-",
        "x-goog-iap-",
        "x-ms-client-principal",
        "x-ms-token-",
        "x-ssl-client-",
    ];
    matches!(
        name,
        "forwarded"
            | "x-forwarded"
            | "via"
            | "origin"
            | "referer"
            | "client-ip"
            | "fastly-client-ip"
            | "true-client-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-host"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
            | "x-original-forwarded-for"
            | "x-original-host"
            | "x-original-url"
            | "x-real-ip"
            | "x-remote-user"
            | "x-rewrite-url"
    ) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
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

/// The caller's headers, told apart.
pub(crate) struct Split {
    /// These travel on.
    pub(crate) passed: HeaderMap,
    /// These were taken out.
    pub(crate) taken: HeaderMap,
    pub(crate) host: Option<HeaderValue>,
}

/// Splits the caller's headers into those that travel on and those that do not.
pub(crate) fn split_request(
    mut headers: HeaderMap,
    policy: &Policy,
    injected: &BTreeSet<String>,
    token: &str,
) -> Split {
    let named = connection_options(&headers);
    let trailers_wanted = headers
        .get_all(TE)
        .iter()
        .any(|value| lists(value, "trailers"));
    // Drained and filled again rather than made anew: hyper keeps the maps of a connection and hands them round, so
    // one that is large enough stays large enough.
    let fields: Vec<_> = headers.drain().collect();
    let mut passed = headers;
    let (mut taken, mut host) = (HeaderMap::new(), None);
    let mut last = None;
    for (name, mut value) in fields {
        // Further values of a header come without its name.
        if let Some(name) = name {
            last = Some((fate(&name, policy, injected, &named), name));
        }
        let Some((fate, name)) = &last else { continue };
        match fate {
            Fate::Pass if !contains_anyhow(&value, token) => {
                passed.append(name.clone(), value);
            }
            Fate::Pass | Fate::Take => {
                // It is shown to the service, and may end up in a log of its.
                value.set_sensitive(true);
                taken.append(name.clone(), value);
            }
            Fate::Drop if *name == HOST => host = Some(value),
            Fate::Drop => {}
        }
    }
    if trailers_wanted {
        passed.insert(TE, HeaderValue::from_static("trailers"));
    }
    Split {
        passed,
        taken,
        host,
    }
}

fn fate(
    name: &HeaderName,
    policy: &Policy,
    injected: &BTreeSet<String>,
    named: &HashSet<HeaderName>,
) -> Fate {
    let plain = &*plain_name(name);
    let passes = || policy.pass_request.contains(name);
    match fate_of_request(plain) {
        _ if named.contains(name) => Fate::Drop,
        _ if injected.contains(plain) => Fate::Take,
        Fate::Take if passes() => Fate::Pass,
        fate => fate,
    }
}

/// As [`contains`], and behind the base64 of Basic.
fn contains_anyhow(value: &HeaderValue, token: &str) -> bool {
    let basic = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        let encoded = scheme
            .eq_ignore_ascii_case("basic")
            .then(|| encoded.trim())?;
        Some(contains(&STANDARD.decode(encoded).ok()?, token))
    };
    contains(value.as_bytes(), token) || basic().unwrap_or(false)
}

/// The caller's trailers are held to the same rules as its headers.
pub(crate) fn clean_request_trailers(
    trailers: &mut HeaderMap,
    injected: &BTreeSet<String>,
    token: &str,
) {
    let showing: Vec<_> = trailers
        .iter()
        .filter(|(_, value)| contains(value.as_bytes(), token))
        .map(|(name, _)| name.clone())
        .collect();
    let unnamed = HashSet::new();
    remove_all(trailers, |name| {
        is_framing(name)
            || showing.contains(name)
            || fate(name, &DEFAULT, injected, &unnamed) != Fate::Pass
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
    one.as_str().len() == other.as_str().len() && plain_name(one) == plain_name(other)
}
