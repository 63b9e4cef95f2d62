use sallygate_test_support::Answer;

use super::{Storage, signed};

/// A request to the service, put together byte for byte. Unless it is told otherwise, the token is a bearer.
#[must_use]
pub(super) struct Call<'s> {
    storage: &'s Storage,
    line: String,
    host: String,
    authorization: Option<String>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl<'s> Call<'s> {
    pub(super) fn new(storage: &'s Storage, method: &str, path: &str) -> Self {
        Self {
            storage,
            line: format!("{method} /proxy/s3{path} HTTP/1.1"),
            host: "gate.test".into(),
            authorization: Some(format!("Bearer {}", storage.scene.token)),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// As a client that signs: the signature is worth nothing.
    pub(super) fn signed(mut self) -> Self {
        self.authorization = Some(signed(&self.storage.scene.token));
        self.header("x-amz-date", "20260101T000000Z")
    }

    pub(super) fn unauthorized(mut self) -> Self {
        self.authorization = None;
        self
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(super) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }

    /// A body that HTTP frames, in pieces of this many bytes.
    pub(super) fn chunked(mut self, body: impl AsRef<[u8]>, piece: usize) -> Self {
        for piece in body.as_ref().chunks(piece) {
            self.body.extend(format!("{:x}\r\n", piece.len()).bytes());
            self.body.extend(piece);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n\r\n");
        self.header("transfer-encoding", "chunked")
    }

    pub(super) async fn send(self) -> Answer {
        let mut head = format!("{}\r\nhost: {}\r\n", self.line, self.host);
        let authorization = self
            .authorization
            .map(|value| ("authorization".into(), value));
        for (name, value) in authorization.iter().chain(&self.fields) {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut wire = self.storage.scene.front.connect().await;
        wire.send(&[head.as_bytes(), &self.body].concat()).await;
        if self.line.starts_with("HEAD ") {
            wire.answer_to_head().await
        } else {
            wire.answer().await
        }
    }
}
