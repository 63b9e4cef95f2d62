use std::sync::Arc;

use http::{HeaderMap, Method, Request, Uri, Version};

use crate::{
    Body,
    body::{TrailerRule, UploadProgress},
    exchange::Admission,
    forward::{Rules, WebSocket},
    service::RequestId,
};

/// A request as it goes on: what is the caller's alone was taken out of it, and nothing was put in yet.
pub(crate) struct Outgoing<R> {
    pub(super) request: Request<Body>,
    pub(super) scope: Scope,
    pub(super) rules: R,
}

/// What stays here of a request while it is away.
pub(super) struct Scope {
    pub(super) admission: Admission,
    pub(super) websocket: Option<Box<WebSocket>>,
    /// How its upload goes; `None` where there is none.
    pub(super) upload: Option<Arc<UploadProgress>>,
    /// The version of HTTP that its caller speaks.
    pub(super) version: Version,
    pub(super) request_id: RequestId,
}

/// What a door took apart, with its caller's identity taken out.
pub(crate) struct Prepared {
    pub(crate) method: Method,
    /// Absolute: the origin is that of a target.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) websocket: Option<Box<WebSocket>>,
    pub(crate) version: Version,
    pub(crate) request_id: RequestId,
}

impl<R: Rules> Outgoing<R> {
    /// Puts a request together for its way out. The body is bounded and ends with the exchange; `trailers` makes the rule
    /// for its trailers, if it can have any.
    pub(crate) fn new(
        admission: Admission,
        prepared: Prepared,
        rules: R,
        trailers: impl FnOnce() -> TrailerRule,
    ) -> Self {
        let (body, upload) = prepared.body.upload(rules.bounds().body_bytes);
        let body = match &upload {
            Some(_) => body.filter_trailers(trailers()),
            None => body,
        };
        let mut request = Request::new(admission.guard(body));
        *request.method_mut() = prepared.method;
        *request.uri_mut() = prepared.uri;
        *request.headers_mut() = prepared.headers;
        let scope = Scope {
            admission,
            websocket: prepared.websocket,
            upload,
            version: prepared.version,
            request_id: prepared.request_id,
        };
        Self {
            request,
            scope,
            rules,
        }
    }
}
