use http::{HeaderMap, Method, Request, Uri};

use crate::{Body, body::ReplayBuffer, forward::Rules};

/// A request as it was before anything was injected: to be sent once more, should the upstream refuse what was.
pub(super) struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: ReplayBuffer,
}

/// How much of a body is kept.
const KEPT: usize = 64 * 1024;

impl Replay {
    /// `None` where there is nothing else that could be injected.
    pub(super) fn of(request: &mut Request<Body>, rules: &impl Rules) -> Option<Box<Self>> {
        if !rules.may_renew() {
            return None;
        }
        let (body, buffer) = std::mem::take(request.body_mut()).replayable(KEPT);
        *request.body_mut() = body;
        Some(Box::new(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: buffer,
        }))
    }

    /// The request once more, if there is something else to inject and all of the body was kept.
    pub(super) async fn request(self, rules: &impl Rules) -> Option<Request<Body>> {
        let renewed = rules.renew().await;
        // Taken after the wait: only by now is it known whether the body came to its end.
        let mut request = Request::new(self.body.into_body().filter(|_| renewed)?);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}
