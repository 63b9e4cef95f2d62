use http::{HeaderMap, Method, Request, Uri};

use crate::{Body, Context, Credential, Injection, body::Recording, service::Entry};

/// A request as it was before `transform`: to be sent again, should the upstream refuse the key.
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Recording,
}

/// How much of a body is kept.
const KEPT: usize = 64 * 1024;

impl Spare {
    /// `None` where there is no other key to be had.
    pub(super) fn of(request: &mut Request<Body>, entry: &Entry) -> Option<Box<Self>> {
        let mut keys = entry.injections.iter().map(Injection::key);
        if !keys.any(Credential::may_renew) {
            return None;
        }
        let (body, recording) = std::mem::take(request.body_mut()).recorded(KEPT);
        *request.body_mut() = body;
        Some(Box::new(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: recording,
        }))
    }

    /// The request once more, if there is another key and all of the body was kept.
    pub(super) async fn again(self, context: &Context) -> Option<Request<Body>> {
        let renewed = context.renew().await;
        let mut request = Request::new(self.body.into_body().filter(|_| renewed)?);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}
