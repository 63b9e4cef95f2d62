//! What a WebSocket needs beside a request (RFC 6455; over HTTP/2, RFC 8441).
//!
//! The handshake is taken out of the request, which passes the stages as a plain `GET`, and put back once nothing else can
//! change its headers. When the upstream has accepted, both connections are spliced, and end with the exchange.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
        TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};

use crate::{
    Body,
    exchange::Share,
    rejection::Reason,
    service::RequestId,
    upstream::{Splice, UpstreamError, headers},
};

/// A WebSocket that the caller asks for: what was taken out of its handshake.
///
/// The caller's connection is in the extensions of its request, and is taken from there before they are dropped.
pub(crate) struct WebSocket {
    caller: OnUpgrade,
    key: HeaderValue,
    version: Version,
}

/// The name of the protocol that is switched to.
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether this is a request for a WebSocket as HTTP/2 has it.
pub(crate) fn is_extended_connect(method: &Method, extensions: &Extensions) -> bool {
    *method == Method::CONNECT
        && extensions
            .get::<Protocol>()
            .is_some_and(|protocol| protocol.as_str() == "websocket")
}

impl WebSocket {
    /// Takes the handshake out of the request, which goes on as a plain `GET`.
    pub(crate) fn take_handshake(parts: &mut Parts) -> Result<Option<Box<Self>>, Reason> {
        let over_http2 = is_extended_connect(&parts.method, &parts.extensions);
        let upgrades = parts.headers.get_all(UPGRADE).iter();
        if !over_http2 && !lists_any(upgrades, "websocket") {
            return Ok(None);
        }
        let key = if over_http2 { new_key() } else { key(parts)? };
        if parts
            .headers
            .get(SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            return Err(Reason::Header("not a websocket of version 13"));
        }
        let caller = parts
            .extensions
            .remove::<OnUpgrade>()
            .ok_or(Reason::Upgrade)?;
        parts.method = Method::GET;
        Ok(Some(Box::new(Self {
            caller,
            key,
            version: parts.version,
        })))
    }

    /// Asks the upstream for it, always over HTTP/1.1, where every server has WebSockets: once the headers are sealed, since these belong to the connection.
    pub(crate) fn add_handshake(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }

    /// Whether a response of 101 is the one that was asked for (RFC 6455 §4.1).
    pub(crate) fn is_accepted<B>(&self, response: &Response<B>) -> bool {
        let headers = response.headers();
        let accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT);
        lists_any(headers.get_all(UPGRADE).iter(), "websocket")
            && accepts.iter().eq([&accept(&self.key)])
    }

    /// Whether the caller asked with HTTP/2's `CONNECT`.
    pub(crate) fn is_over_http2(&self) -> bool {
        self.version >= Version::HTTP_2
    }

    /// Makes one connection of the two, in a task that ends with the exchange, and the response that tells the caller so.
    pub(crate) fn splice(
        self,
        mut response: Response<Body>,
        upstream: OnUpgrade,
        exchange: Share,
        request_id: RequestId,
    ) -> Result<Response<Body>, Reason> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Reason::Upgrade)?;
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        if self.version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, WEBSOCKET);
        } else {
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            *response.status_mut() = StatusCode::OK;
        }
        let caller = self.caller;
        runtime.spawn(async move {
            let both = async { (upstream.await, caller.await) };
            let both = tokio::select! {
                both = both => both,
                _ = exchange.websocket_end() => return,
            };
            let (Ok(upstream), Ok(caller)) = both else {
                return;
            };
            let splice = Splice::new(caller, upstream, exchange.idle_timeout());
            let passed = splice.run(exchange.websocket_end()).await;
            tracing::debug!(
                target: "sallygate::forward",
                %request_id,
                up = passed.up,
                down = passed.down,
                "websocket closed"
            );
        });
        Ok(response)
    }
}

/// The key of a handshake over HTTP/1.1, which must be one in every respect: what follows the head of a request that only
/// looks like one would be read as another request by one side, and as frames by the other.
fn key(parts: &Parts) -> Result<HeaderValue, Reason> {
    let headers = &parts.headers;
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| keys.next().is_none());
    let sixteen_bytes = |key: &&HeaderValue| {
        STANDARD
            .decode(key.as_bytes())
            .is_ok_and(|bytes| bytes.len() == 16)
    };
    // A body would reach the upstream ahead of its response, and some take what follows the head for frames.
    let length = headers.get(CONTENT_LENGTH);
    let has_body =
        headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0");
    let proper = parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && !has_body
        && lists_any(headers.get_all(CONNECTION).iter(), "upgrade");
    key.filter(|_| proper)
        .filter(sixteen_bytes)
        .cloned()
        .ok_or(Reason::Header("not a websocket handshake"))
}

/// A key of our own, where HTTP/2 has none: only HTTP/1.1 needs to know that the other side understood. It need not be secret (RFC 6455 §10.3).
fn new_key() -> HeaderValue {
    let seed = RandomState::new();
    let bytes = [seed.hash_one(0_u8), seed.hash_one(1_u8)].map(u64::to_be_bytes);
    HeaderValue::try_from(STANDARD.encode(bytes.concat())).unwrap_or(WEBSOCKET)
}

/// What accepts a key (RFC 6455 §4.2.2).
fn accept(key: &HeaderValue) -> HeaderValue {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    let text = [key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::try_from(STANDARD.encode(digest)).unwrap_or(WEBSOCKET)
}

/// Whether a list header has this item, in any of its lines.
fn lists_any<'v>(mut values: impl Iterator<Item = &'v HeaderValue>, item: &str) -> bool {
    values.any(|value| headers::lists(value, item))
}

/// The other side of an accepted handshake, which the client left in the extensions of the response. A client that leaves
/// none cannot do upgrades.
pub(crate) fn upstream_of(extensions: &mut Extensions) -> Result<OnUpgrade, Reason> {
    extensions
        .remove::<OnUpgrade>()
        .ok_or(Reason::Upstream(UpstreamError::Broken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
