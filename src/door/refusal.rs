//! From a rejection to the response that the caller gets.
//!
//! Every refusal of every door is made here, so that none can say more than its code: the body is constant but for the
//! request's id, nothing is cached, and what happened is in the extensions and in the log. A door chooses the words.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};

use crate::{
    Body,
    rejection::{Reason, Rejection},
    service::{ErrorBody, RequestId},
};

/// How a door words a refusal: the one thing in which the responses of doors to the same rejection differ.
///
/// Status, `Cache-Control`, `Retry-After` and the extensions are the same for all. A format gets the rejection alone, without
/// the request: it cannot repeat what the caller sent, or what was injected since.
pub(crate) trait RefusalFormat {
    /// The body. It tells no more than the rejection's code does.
    fn body(&self, rejection: &Rejection) -> ErrorBody;

    /// Adds the headers that belong to the status: challenges, allowed methods.
    fn headers(&self, rejection: &Rejection, headers: &mut HeaderMap);

    /// The name of the service in the log, where there are several.
    fn service(&self) -> Option<&str> {
        None
    }
}

/// Makes the response to a request that stopped, and records why it did. With `close`, the connection is not used again.
///
/// What the same request cannot do better later is marked so for SDKs, which would otherwise repeat it with their own
/// back-off.
pub(crate) fn refuse(
    reason: Reason,
    request_id: RequestId,
    close: bool,
    format: &impl RefusalFormat,
) -> Response<Body> {
    let rejection = Rejection::new(reason, request_id);
    let (status, code) = (rejection.status(), rejection.code());
    tracing::info!(
        target: "sallygate::door",
        code = code.as_str(),
        status = status.as_u16(),
        reason = %rejection.reason(),
        request_id = %request_id,
        service = format.service(),
        "rejected"
    );
    let ErrorBody {
        content_type,
        bytes,
    } = format.body(&rejection);
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !code.is_repeatable() {
        headers.insert(
            HeaderName::from_static("x-should-retry"),
            HeaderValue::from_static("false"),
        );
    }
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    format.headers(&rejection, headers);
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(rejection);
    response
}
