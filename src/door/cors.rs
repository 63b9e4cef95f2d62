//! Which pages in browsers may call.
//!
//! The headers are ours alone: those that an upstream sends are taken out by the rules on responses, since it does not know
//! from where it is called.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use crate::{Body, ConfigError};

/// Which pages in browsers may call the proxy ([CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)).
///
/// A preflight from an allowed origin is answered without a token; responses to the origin, refusals among them, can be
/// read by it. Cookies do not come along: a page sends its token in a header.
///
/// # Example
///
/// ```
/// use sallygate::door::Cors;
///
/// let cors = Cors::new().allow_origin("https://app.example.com")?;
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    any: bool,
    max_age: Duration,
}

/// What a page may ask with. Which of them a service takes is not said here: that would tell which services there are.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

impl Cors {
    /// Allows no origin yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            origins: Vec::new(),
            any: false,
            max_age: Duration::from_secs(600),
        }
    }

    /// Allows the pages of this origin: `https://app.example.com`.
    ///
    /// # Errors
    ///
    /// When it is anything but scheme, host and port as a browser writes them: in lower case, and without the scheme's own
    /// port.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, ConfigError> {
        let wrong = ConfigError::Cors("not an origin as a browser writes it");
        let parsed = origin.parse::<Uri>().ok();
        let default_port = |uri: &Uri| match uri.scheme_str() {
            Some("https") => uri.port_u16() == Some(443),
            _ => uri.port_u16() == Some(80),
        };
        let plain = parsed
            .is_some_and(|uri| uri.host().is_some() && uri.path() == "/" && !default_port(&uri))
            && !origin.ends_with('/')
            && !origin.contains(['@', '?', '#'])
            && !origin.bytes().any(|byte| byte.is_ascii_uppercase());
        match HeaderValue::try_from(origin) {
            Ok(value) if plain => {
                self.origins.push(value);
                Ok(self)
            }
            _ => Err(wrong),
        }
    }

    /// Allows the pages of every origin. They still need a token.
    #[must_use]
    pub const fn allow_any_origin(mut self) -> Self {
        self.any = true;
        self
    }

    /// Sets how long a browser may remember a preflight. Defaults to ten minutes.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// What responses to this request say to the browser; `None` if its origin is not allowed, or it has none. An origin that
    /// is there twice is none.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        if self.any {
            Some(HeaderValue::from_static("*"))
        } else {
            self.origins.contains(origin).then(|| origin.clone())
        }
    }

    /// The response to a preflight, if this is one from an allowed origin: it depends on nothing but the request, so that it
    /// tells nobody which services there are. A preflight is an `OPTIONS` by which a browser asks, as no API's client does.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let headers = request.headers();
        if *request.method() != Method::OPTIONS
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let allowed = self.allowed(headers)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let allows = response.headers_mut();
        allows.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            allows.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        allows.insert(
            ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from(self.max_age.as_secs()),
        );
        let asked = [
            ORIGIN,
            ACCESS_CONTROL_REQUEST_METHOD,
            ACCESS_CONTROL_REQUEST_HEADERS,
        ];
        mark(allows, Some(allowed), &asked);
        Some(response)
    }

    /// Lets the page that asked read the response, if it may.
    pub(crate) fn open(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        if allowed.is_some() {
            // Without credentials, the star stands for all headers.
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        }
        mark(headers, allowed, &[ORIGIN]);
    }
}

/// Says what it depends on in any case: a cache must not give the response to one page to another.
fn mark(headers: &mut HeaderMap, allowed: Option<HeaderValue>, asked: &[HeaderName]) {
    if let Some(allowed) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    }
    for name in asked {
        headers.append(VARY, HeaderValue::from(name.clone()));
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self::new()
    }
}
