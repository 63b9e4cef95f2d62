//! A request on its way out, and what stays here of it.

use std::{mem, sync::Arc};

use http::{Extensions, Request, Version};

use crate::{
    Body,
    body::UploadProgress,
    exchange::Admission,
    forward::{Rules, WebSocket},
    service::RequestId,
};

/// A request as it goes on: what is the caller's alone was taken out of it, and nothing was put in yet.
pub(crate) struct Outgoing<R> {
    pub(super) request: Request<Body>,
    pub(super) in_flight: InFlight,
    pub(super) rules: R,
}

/// What stays here of a request while it is away.
///
/// It is borrowed by every step, so that the request's future holds it once. The admission is in it: whatever drops the
/// future before there is a response abandons the exchange.
pub(super) struct InFlight {
    pub(super) admission: Admission,
    pub(super) websocket: Option<Box<WebSocket>>,
    /// How its upload goes; `None` where there is none.
    pub(super) upload: Option<Arc<UploadProgress>>,
    /// The version of HTTP that its caller speaks.
    pub(super) version: Version,
    pub(super) request_id: RequestId,
}

impl<R: Rules> Outgoing<R> {
    /// Puts a request on its way. Its URI is absolute, with the origin of a target; the caller's identity is out of its
    /// headers and of its trailers. Its body is bounded, and ends with the exchange.
    pub(crate) fn new(
        admission: Admission,
        mut request: Request<Body>,
        websocket: Option<Box<WebSocket>>,
        request_id: RequestId,
        rules: R,
    ) -> Self {
        // What layers outside have left there is for this side alone.
        *request.extensions_mut() = Extensions::new();
        let version = request.version();
        let (body, upload) = mem::take(request.body_mut()).upload(rules.bounds().body_bytes);
        *request.body_mut() = admission.guard(body);
        let in_flight = InFlight {
            admission,
            websocket,
            upload,
            version,
            request_id,
        };
        Self {
            request,
            in_flight,
            rules,
        }
    }
}
