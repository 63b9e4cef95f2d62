//! Sending a request once more, with something else injected.
//!
//! A key that the upstream refuses may have been replaced meanwhile. The request is then repeated once, from a copy that was
//! taken before anything was injected: a second attempt made of the first would carry what the first was refused with. The
//! body streams the first time all the same, and is copied as it passes, up to a limit.

use http::{HeaderMap, Method, Request, Uri};

use crate::{Body, body::ReplayBuffer, forward::Rules};

/// A request as it was before anything was injected: to be sent once more, should the upstream refuse what was.
pub(super) struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: ReplayBuffer,
}

/// How much of a body is kept. Longer ones are sent once, and the refusal is what the caller gets.
const KEPT: usize = 64 * 1024;

impl Replay {
    /// Copies the head, and has the body copied as it passes. `None` where there is nothing else that could be injected: most
    /// keys are fixed, and pay nothing for this.
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
