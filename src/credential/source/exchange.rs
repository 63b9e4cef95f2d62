//! How a token endpoint is asked: one request, a limit on its response and on its time, and errors that show nothing of
//! either. All sources that ask over HTTP go through it.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
    uri::PathAndQuery,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tower::ServiceExt;
use zeroize::Zeroizing;

use crate::{Body, Client, Target, credential::SourceError, upstream::UpstreamError};

/// How a token endpoint is asked.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) client: Client,
    pub(super) timeout: Duration,
}

/// What a token endpoint said; no redirect is followed.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
pub(super) struct Problem {
    error: String,
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// It keeps no connection: endpoints are asked rarely, and from whatever runtime a request runs on.
static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::new().max_idle_per_host(0));

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            client: CLIENT.clone(),
            timeout: TIMEOUT,
        }
    }

    /// Sends `request` and reads the response, `limit` bytes at most.
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        limit: usize,
    ) -> Result<Said, SourceError> {
        let exchange = async {
            let response = self.client.clone().oneshot(request).await;
            let response = response.map_err(|error| match UpstreamError::of(&error) {
                UpstreamError::Broken => SourceError::Malformed,
                UpstreamError::Timeout => SourceError::Timeout,
                _ => SourceError::Unreachable,
            })?;
            let (parts, body) = response.into_parts();
            let body = body
                .read(limit)
                .await
                .map_err(|error| match error.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => SourceError::Malformed,
                    _ => SourceError::Unreachable,
                })?;
            Ok(Said {
                status: parts.status,
                body,
            })
        };
        let response = tokio::time::timeout(self.timeout, exchange).await;
        response.map_err(|_| SourceError::Timeout)?
    }
}

impl Said {
    /// The body of an response that is not a refusal.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, SourceError> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body).map_err(|_| SourceError::Malformed)
    }

    /// Why there is no token. Some servers say it with a status of 200.
    pub(super) fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    /// In words of our own: those of RFC 6749 §5.2 and RFC 8707 where they were used, else those of the status.
    pub(super) fn refusal(&self) -> SourceError {
        const CODES: [&str; 7] = [
            "invalid_client",
            "invalid_grant",
            "invalid_request",
            "invalid_scope",
            "invalid_target",
            "unauthorized_client",
            "unsupported_grant_type",
        ];
        let known = self
            .problem()
            .and_then(|problem| CODES.into_iter().find(|code| *code == problem.error));
        let status = match self.status.is_success() {
            true => None,
            false => self.status.canonical_reason(),
        };
        SourceError::Refused(known.or(status).unwrap_or("for a reason of its own"))
    }
}

/// A POST of `body` to what is at `path` below `target`.
pub(super) fn post(
    target: &Target,
    path: &str,
    content_type: &'static str,
    body: Zeroizing<String>,
) -> Result<Request<Body>, SourceError> {
    let path = PathAndQuery::try_from(path).map_err(|_| SourceError::Other)?;
    let mut request = Request::new(Body::from(Bytes::from_owner(Wiped(body))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.join(&path).map_err(|_| SourceError::Other)?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("sallygate/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(request)
}

struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A form as browsers send them, wiped when dropped.
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Form {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        // Not grown in place: what a `String` leaves behind when it moves is not wiped.
        let room = self.0.len() + 3 * (name.len() + value.len()) + 2;
        let mut grown = Zeroizing::new(String::with_capacity(room));
        grown.push_str(&self.0);
        if !grown.is_empty() {
            grown.push('&');
        }
        grown.extend(utf8_percent_encode(name, UNRESERVED));
        grown.push('=');
        grown.extend(utf8_percent_encode(value, UNRESERVED));
        self.0 = grown;
    }

    pub(super) fn post(self, target: &Target) -> Result<Request<Body>, SourceError> {
        post(target, "/", "application/x-www-form-urlencoded", self.0)
    }
}

/// `id:secret`, each encoded as in a form (RFC 6749 §2.3.1).
pub(super) fn basic_pair(id: &str, secret: &str) -> Zeroizing<String> {
    let room = 3 * (id.len() + secret.len()) + 1;
    let mut pair = Zeroizing::new(String::with_capacity(room));
    pair.extend(utf8_percent_encode(id, UNRESERVED));
    pair.push(':');
    pair.extend(utf8_percent_encode(secret, UNRESERVED));
    pair
}
