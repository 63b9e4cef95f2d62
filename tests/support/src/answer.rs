use bytes::Bytes;
use http::Extensions;
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use tower::BoxError;

use crate::{Oracle, PATIENCE, within};

/// What a caller got.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The reason phrase, if it came over HTTP/1.1.
    pub reason: String,
    /// The header fields in the order in which they came, names in lower case.
    pub fields: Vec<(String, String)>,
    /// What came of the body.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to its end, as its framing defines it.
    pub complete: bool,
    /// What layers outside the proxy find beside the answer; only if it came in process.
    pub extensions: Extensions,
}

impl Answer {
    /// Reads a response that came in process, to its end.
    pub async fn of<B>(oracle: &Oracle, response: http::Response<B>) -> Self
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            let value = value
                .as_bytes()
                .iter()
                .map(|byte| char::from(*byte))
                .collect();
            (name.as_str().to_owned(), value)
        };
        let mut answer = Self {
            status: parts.status.as_u16(),
            fields: parts.headers.iter().map(text).collect(),
            ..Self::default()
        };
        let mut body = std::pin::pin!(body);
        loop {
            match within(PATIENCE, body.frame()).await {
                None => {
                    answer.complete = true;
                    break;
                }
                Some(Err(_)) => break,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => answer.body.extend_from_slice(&data),
                    Err(frame) => answer
                        .trailers
                        .extend(frame.trailers_ref().unwrap().iter().map(text)),
                },
            }
        }
        if let Some(rejection) = parts.extensions.get::<sallygate::door::Rejection>() {
            oracle.saw_debug(rejection);
            oracle.saw_display(rejection.reason());
        }
        oracle.saw("headers to the caller", format!("{:?}", answer.fields));
        oracle.saw("trailers to the caller", format!("{:?}", answer.trailers));
        oracle.saw("body to the caller", answer.body.clone());
        answer.extensions = parts.extensions;
        answer
    }

    /// The values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = |(field, _): &&(String, String)| field == name;
        self.fields
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a header that may be there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "{name} is there {} times", values.len());
        values.first().copied()
    }

    /// The body, which is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A member of an error body.
    pub fn member(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body[name].as_str().unwrap_or_default().to_owned()
    }

    /// The code of a rejection.
    pub fn code(&self) -> String {
        self.member("code")
    }

    /// The code of a response that may be the upstream's.
    pub fn code_if_any(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The body without what differs between two answers to the same request.
    pub fn constant(&self) -> String {
        self.text().replace(&self.member("requestId"), "ID")
    }
}
