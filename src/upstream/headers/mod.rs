//! Which headers pass. The tables are in the docs of `upstream`.
//!
//! A door takes the rules that it needs: the proxy door [`split_request`] and [`clean_response`], which keep both sides
//! from each other; one that passes messages through as they are [`remove_hop_by_hop`] alone.

mod request;
mod response;
mod via;

use std::{borrow::Cow, collections::HashSet};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, VIA},
};
use memchr::memmem;
use percent_encoding::percent_decode;

use crate::ConfigError;

pub(crate) use self::{
    request::{clean_request_trailers, seal_request, split_request},
    response::{clean_response, clean_trailers, is_broken_response},
    via::Via,
};

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
        .any(|name| is_framing(name) || is_proxy_authentication(name.as_str()) || *name == VIA)
    {
        return Err(ConfigError::Header(
            "belongs to the connection and cannot be let through",
        ));
    }
    Ok(())
}

/// The fields that `Connection` names, which end at this hop; no more than there are headers.
fn connection_options(headers: &HeaderMap) -> HashSet<HeaderName> {
    let mut named = HashSet::new();
    for value in headers.get_all(CONNECTION) {
        if value == "keep-alive" {
            continue;
        }
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close") {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(option)
                && headers.contains_key(&name)
            {
                named.insert(name);
            }
        }
    }
    named
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

/// Keeps some items of a list header. Lines from which none goes stay as they are.
pub(crate) fn retain_items(
    headers: &mut HeaderMap,
    name: &HeaderName,
    separator: char,
    keep: impl Fn(&str) -> bool,
) {
    let lines: Vec<_> = headers.get_all(name).iter().cloned().collect();
    let goes = |line: &HeaderValue| {
        // What is no text could be read in any way.
        let text = line.to_str();
        text.map_or(true, |text| {
            !text.split(separator).map(str::trim).all(&keep)
        })
    };
    if !lines.iter().any(goes) {
        return;
    }
    headers.remove(name);
    for line in lines {
        let items = line.to_str().unwrap_or_default().split(separator);
        let kept: Vec<_> = items
            .map(str::trim)
            .filter(|item| !item.is_empty() && keep(item))
            .collect();
        let kept = kept.join(&format!("{separator} "));
        if let Ok(kept) = HeaderValue::try_from(kept)
            && !kept.is_empty()
        {
            headers.append(name.clone(), kept);
        }
    }
}

/// Taking one out moves another into its place: the order of what stays is not kept.
fn remove_all(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let gone: Vec<_> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Size of a header section as HTTP/2 counts it: name, value and 32 more a field (RFC 9113 §6.5.2).
pub(crate) fn size(headers: &HeaderMap) -> usize {
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
    headers.iter().map(field).sum()
}

/// Takes out what belongs to the connection that the message came over (RFC 9110 §7.6.1), what its `Connection` header
/// names, and `also`. `Content-Length` stays even if it is named there: it says how the body is to be read.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap, also: impl Fn(&HeaderName) -> bool) {
    let named = connection_options(headers);
    remove_all(headers, |name| {
        is_hop_by_hop(name.as_str())
            || is_proxy_authentication(name.as_str())
            || (named.contains(name) && !is_framing(name))
            || also(name)
    });
}

/// Whether the token stands in a text, as it is or percent-encoded.
pub(crate) fn contains(text: &[u8], token: &str) -> bool {
    // Decoding only shortens: a text that is too short hides nothing.
    text.len() >= token.len()
        && (memmem::find(text, token.as_bytes()).is_some()
            || (text.contains(&b'%') && {
                let plain: Vec<u8> = percent_decode(text).collect();
                memmem::find(&plain, token.as_bytes()).is_some()
            }))
}

/// A name as the most lenient of servers reads it: `X_Api.Key` as `x-api-key`.
pub(crate) fn plain_name(name: &HeaderName) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match name.as_str().bytes().all(plain) {
        true => name.as_str().into(),
        false => name
            .as_str()
            .replace(|other: char| !other.is_ascii_alphanumeric(), "-")
            .into(),
    }
}
