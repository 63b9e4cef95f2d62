//! In which API's words a caller is refused of whom nothing is known yet.
//!
//! What decides is a header that the API's official clients send, whichever service they call, whether it exists, and
//! whether the proxy has such a service: the response tells nothing but what the caller said itself.

use http::HeaderMap;

use crate::{
    rejection::Rejection,
    service::{ErrorBody, known::KNOWN},
};

/// Words a rejection as an API does.
pub(crate) type Words = fn(&Rejection) -> ErrorBody;

/// Of the first known API whose clients' header is there. (The clients made by the same generator as OpenAI's have a header
/// of their own beside it, and come before it in the list.)
pub(crate) fn of(headers: &HeaderMap) -> Option<Words> {
    let speaks = |header| headers.contains_key(header);
    let mut known = KNOWN.iter();
    known
        .find(|known| known.client.is_some_and(speaks))
        .map(|known| known.error)
}
