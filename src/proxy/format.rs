//! In whose words the proxy refuses.
//!
//! An SDK that cannot read an error shows none, or crashes. So a verified caller is refused in the words of the service's API;
//! before that, in those of the client that asks, told by its own headers. Nothing that depends on the service called may show
//! to somebody who has no good token.

use std::{
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ALLOW, WWW_AUTHENTICATE},
};

use crate::{
    door::RefusalFormat,
    rejection::{Code, Rejection},
    service::{Entry, ErrorBody, dialect::Words},
};

/// How the proxy words a refusal.
pub(super) struct Format<'a> {
    pub(super) audience: Audience,
    /// The service that was called, if there is one of that name.
    pub(super) entry: Option<&'a Entry>,
    /// What a 401 asks with: every service's way, whichever was called.
    pub(super) challenges: &'a [HeaderValue],
}

/// Whom a refusal is for. It decides in whose words it is.
#[derive(Clone, Copy)]
pub(super) enum Audience {
    /// Somebody who was not verified, or who called no service that there is. The words are those of the client that asks,
    /// by its own headers alone: whether there is such a service must not show.
    Unverified(Option<Words>),
    /// A verified caller of the service, which may have words of its own.
    Verified,
}

impl Format<'_> {
    /// The service, as far as the caller may know of it.
    fn shown(&self) -> Option<&Entry> {
        match self.audience {
            Audience::Unverified(_) => None,
            Audience::Verified => self.entry,
        }
    }

    fn plain(&self, rejection: &Rejection) -> ErrorBody {
        let code = rejection.code();
        let mut body = String::with_capacity(192);
        body.push_str("{\"error\":\"");
        body.push_str(rejection.message());
        // A service name has no character that JSON would escape.
        if let (Code::TargetError | Code::TargetTimeout, Some(entry)) = (code, self.shown()) {
            body.push_str(": ");
            body.push_str(entry.name.as_str());
        }
        body.push_str("\",\"code\":\"");
        body.push_str(code.as_str());
        body.push_str("\",\"requestId\":\"");
        // Writing to a String cannot fail.
        let _ = write!(body, "{}", rejection.request_id());
        body.push_str("\"}");
        ErrorBody::json(body)
    }
}

impl RefusalFormat for Format<'_> {
    fn body(&self, rejection: &Rejection) -> ErrorBody {
        let own = match self.audience {
            Audience::Unverified(words) => words.map(|error| error(rejection)),
            Audience::Verified => self.entry.and_then(|entry| {
                // The embedder's code: a panic of it costs its words, not the refusal.
                let own = || entry.config.error(rejection);
                catch_unwind(AssertUnwindSafe(own)).unwrap_or_default()
            }),
        };
        own.unwrap_or_else(|| self.plain(rejection))
    }

    fn headers(&self, rejection: &Rejection, headers: &mut HeaderMap) {
        match rejection.status() {
            StatusCode::UNAUTHORIZED => {
                for challenge in self.challenges {
                    headers.append(WWW_AUTHENTICATE, challenge.clone());
                }
                headers
                    .entry(WWW_AUTHENTICATE)
                    .or_insert(HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                let methods = self
                    .shown()
                    .and_then(|entry| entry.policy.methods.as_deref());
                headers.insert(ALLOW, allow(methods));
            }
            _ => {}
        }
    }

    fn service(&self) -> Option<&str> {
        self.entry.map(|entry| entry.name.as_str())
    }
}

fn allow(methods: Option<&[Method]>) -> HeaderValue {
    let any = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    let listed = methods.map(|methods| {
        let names: Vec<_> = methods.iter().map(Method::as_str).collect();
        names.join(", ")
    });
    listed
        .and_then(|methods| HeaderValue::try_from(methods).ok())
        .unwrap_or(HeaderValue::from_static(any))
}
