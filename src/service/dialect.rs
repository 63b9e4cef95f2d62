//! In which API's words a caller is refused of whom nothing is known yet.
//!
//! What decides is a header that the API's official clients send, whichever service they call, whether it exists, and
//! whether the proxy has such a service: the response tells nothing but what the caller said itself.

use http::HeaderMap;

use crate::{
    rejection::Rejection,
    service::{ErrorBody, anthropic, gemini, openai, stripe},
};

/// Words a rejection as an API does.
pub(crate) type Words = fn(&Rejection) -> ErrorBody;

/// What each client's requests bear. The first that is there counts.
const CLIENTS: [(&str, Words); 4] = [
    ("anthropic-version", anthropic::error),
    ("stripe-version", stripe::error),
    ("x-goog-api-client", gemini::error),
    // The SDKs made by the same generator as OpenAI's have a header of their own beside it.
    ("x-stainless-lang", openai::error),
];

pub(crate) fn of(headers: &HeaderMap) -> Option<Words> {
    let speaks = |(header, _): &&(&str, Words)| headers.contains_key(*header);
    CLIENTS.iter().find(speaks).map(|(_, words)| *words)
}
