use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, header};
use sallygate::Body;

use crate::{refusal::Refusal, section::Section};

/// Responds to health checks, which have no token, before anything else sees them.
#[derive(Clone)]
pub(crate) struct Health(Option<Arc<str>>);

const EXPECTED: &str = r#"a plain path such as "/healthz", which is not the mount or below it"#;

/// Reads the path of health checks. Below the mount it would hide a service.
pub(crate) fn path(section: &mut Section, mount: &str) -> Result<Option<String>, Refusal> {
    let Some(path) = section.text("health", EXPECTED)? else {
        return Ok(None);
    };
    let below = path.strip_prefix(mount.trim_end_matches('/'));
    let below = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
    let plain = segments.is_some_and(|mut segments| segments.all(is_plain));
    if below || !plain {
        return Err(section.refuse("health", EXPECTED));
    }
    Ok(Some(path))
}

fn is_plain(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

impl Health {
    pub(crate) fn new(path: Option<&str>) -> Self {
        Self(path.map(Arc::from))
    }

    /// The response, if this is a health check.
    pub(crate) fn response<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let is_check = self.0.as_deref() == Some(request.uri().path())
            && (request.method() == Method::GET || request.method() == Method::HEAD);
        is_check.then(|| {
            let mut response = Response::new(Body::from("ok"));
            let headers = response.headers_mut();
            let text = HeaderValue::from_static("text/plain");
            headers.insert(header::CONTENT_TYPE, text);
            let no_store = HeaderValue::from_static("no-store");
            headers.insert(header::CACHE_CONTROL, no_store);
            response
        })
    }
}
