use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::{BoxError, Service};

use crate::{Answer, Oracle, PATIENCE, within};

/// The proxy, served on loopback by hyper, HTTP/1.1 and HTTP/2.
pub struct Front {
    /// Where it listens.
    pub addr: SocketAddr,
    oracle: Arc<Oracle>,
    task: JoinHandle<()>,
}

impl Front {
    /// Serves any application; what callers get is shown to the oracle.
    pub async fn serve<S, B>(oracle: Arc<Oracle>, service: S) -> Self
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + std::fmt::Debug + Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                stream.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let mut server = auto::Builder::new(TokioExecutor::new());
                    server
                        .http1()
                        .timer(TokioTimer::new())
                        .max_buf_size(4 << 20);
                    server.http2().timer(TokioTimer::new());
                    let _ = server
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { addr, oracle, task }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Wire {
        Wire {
            stream: TcpStream::connect(self.addr).await.unwrap(),
            unread: Vec::new(),
            seen: Vec::new(),
            ended: false,
            oracle: self.oracle.clone(),
        }
    }

    /// A GET with a bearer token.
    pub fn get(&self, target: &str, token: &str) -> Request<'_> {
        self.request("GET", target).token(token)
    }

    /// Any request, with a host and nothing else.
    pub fn request(&self, method: &str, target: &str) -> Request<'_> {
        Request {
            front: self,
            line: format!("{method} {target} HTTP/1.1"),
            fields: vec![("host".into(), b"gate.test".to_vec())],
            body: Vec::new(),
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request over a connection of its own, byte for byte as it was put together.
#[must_use]
pub struct Request<'f> {
    front: &'f Front,
    line: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request<'_> {
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds a body with its length.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub async fn send(self) -> Answer {
        let mut wire = self.front.connect().await;
        wire.send(&self.bytes()).await;
        if self.line.starts_with("HEAD ") {
            wire.answer_to_head().await
        } else {
            wire.answer().await
        }
    }
}

/// One connection to the proxy, as a caller holds it. Every byte that comes back is searched for secrets.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    seen: Vec<u8>,
    ended: bool,
    oracle: Arc<Oracle>,
}

impl Wire {
    /// Sends bytes; that the other side has closed shows in its answer.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends bytes, for callers who care whether they arrive.
    pub async fn send_all(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Reads the next response, past any 1xx.
    pub async fn answer(&mut self) -> Answer {
        self.read_answer(false).await
    }

    /// Reads the next response, which has no body since the request was a HEAD.
    pub async fn answer_to_head(&mut self) -> Answer {
        self.read_answer(true).await
    }

    /// Reads the head of the next response. The body is left to [`read_body`](Self::read_body).
    pub async fn head(&mut self) -> Answer {
        loop {
            let head = within(PATIENCE, self.raw_head()).await;
            assert!(!head.is_empty(), "the connection ended before a response");
            let mut lines = head.trim_end().split("\r\n");
            let line: Vec<_> = lines.next().unwrap().splitn(3, ' ').collect();
            let status = line[1].parse().unwrap();
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            return Answer {
                status,
                reason: line.get(2).copied().unwrap_or_default().into(),
                fields: lines.map(field).collect(),
                ..Answer::default()
            };
        }
    }

    /// Reads the next head, be it of a 1xx.
    pub async fn raw_head(&mut self) -> String {
        let head = self.take_until(b"\r\n\r\n").await.unwrap_or_default();
        head.iter().map(|byte| char::from(*byte)).collect()
    }

    /// Reads the next piece of the body into `answer`; `false` at its end, however it came about.
    pub async fn read_body(&mut self, answer: &mut Answer) -> bool {
        within(PATIENCE, self.piece(answer)).await
    }

    /// Whether the other side has ended the connection; if not, a probe on it is answered.
    pub async fn is_closed(&mut self) -> bool {
        if self.ended {
            return true;
        }
        self.send("GET /probe HTTP/1.1\r\nhost: gate.test\r\n\r\n")
            .await;
        within(PATIENCE, self.take_until(b"\r\n\r\n"))
            .await
            .is_none()
    }

    /// Reads until the other side ends the connection: all bytes not read so far.
    pub async fn rest(&mut self) -> Vec<u8> {
        within(PATIENCE, async { while self.fill().await {} }).await;
        std::mem::take(&mut self.unread)
    }

    async fn read_answer(&mut self, to_head: bool) -> Answer {
        let mut answer = self.head().await;
        if to_head || matches!(answer.status, 204 | 304) {
            answer.complete = true;
        } else {
            while self.read_body(&mut answer).await {}
        }
        self.oracle.saw("body to the caller", answer.body.clone());
        answer
    }

    async fn piece(&mut self, answer: &mut Answer) -> bool {
        if answer.complete {
            return false;
        }
        if answer.values("transfer-encoding") == ["chunked"] {
            return self.chunk(answer).await.unwrap_or(false);
        }
        let length = answer
            .header("content-length")
            .map(|length| length.parse::<usize>().unwrap());
        if length == Some(answer.body.len()) {
            answer.complete = true;
            return false;
        }
        if self.unread.is_empty() && !self.fill().await {
            answer.complete = length.is_none();
            return false;
        }
        let left = length.map_or(usize::MAX, |length| length - answer.body.len());
        let take = self.unread.len().min(left);
        answer.body.extend(self.unread.drain(..take));
        true
    }

    async fn chunk(&mut self, answer: &mut Answer) -> Option<bool> {
        let line = self.take_until(b"\r\n").await?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
        if size > 0 {
            while self.unread.len() < size + 2 {
                if !self.fill().await {
                    return None;
                }
            }
            answer.body.extend(self.unread.drain(..size));
            self.unread.drain(..2);
            return Some(true);
        }
        loop {
            let line = self.take_until(b"\r\n").await?;
            if line == b"\r\n" {
                answer.complete = true;
                return Some(false);
            }
            answer
                .trailers
                .push(field(String::from_utf8_lossy(&line).trim_end()));
        }
    }

    async fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.unread, end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer).await {
            Ok(read) if read > 0 => {
                self.unread.extend_from_slice(&buffer[..read]);
                self.seen.extend_from_slice(&buffer[..read]);
                true
            }
            _ => {
                self.ended = true;
                false
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.oracle
            .saw("bytes to the caller", std::mem::take(&mut self.seen));
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap();
    (name.to_ascii_lowercase(), value.trim().into())
}
