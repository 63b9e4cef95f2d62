use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::PATIENCE;

/// A real HTTP/1.1 server on loopback that keeps every byte it was sent.
///
/// It answers with its script to requests that bear the credential, once and in its slot, and with 403 to all others.
pub struct Upstream {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    requests: Mutex<Vec<Recorded>>,
    slots: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    changed: watch::Sender<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Every byte, framing included.
    pub raw: Vec<u8>,
    /// Request line and header fields, with the empty line at the end.
    pub head: String,
    /// What came of the body, without its framing.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to its end.
    pub complete: bool,
    /// Whether it had the credential, once, in its slot.
    pub authorized: bool,
}

/// What an upstream does about a request that it has read.
pub enum Reply {
    /// These bytes; the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, then the end.
    BytesThenClose(Vec<u8>),
    /// Nothing, for ever.
    Silence,
}

impl Reply {
    /// A response with a `Content-Length`; `head` is what follows `HTTP/1.1 `, header fields included.
    pub fn response(head: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = head.trim_end().replace("\r\n", "\n").replace('\n', "\r\n");
        let mut bytes =
            format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    /// 200 with this body.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::response("200 OK", body)
    }
}

impl Upstream {
    /// Answers each request with what `script` makes of it.
    pub async fn scripted(script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        let script = Arc::new(script);
        Self::with(move |mut conn| {
            let script = script.clone();
            async move {
                while let Some(index) = conn.read_request().await {
                    let request = conn.shared.requests.lock().unwrap()[index].clone();
                    let reply = if request.authorized {
                        script(&request)
                    } else {
                        Reply::response("403 Forbidden", "wrong key")
                    };
                    match reply {
                        Reply::Bytes(bytes) => conn.write(&bytes).await,
                        Reply::BytesThenClose(bytes) => return conn.write(&bytes).await,
                        Reply::Silence => return conn.closed().await,
                    }
                }
            }
        })
        .await
    }

    /// Hands each connection to `handler`.
    pub async fn with<F>(handler: impl Fn(Conn) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            slots: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        });
        let accept = {
            let shared = shared.clone();
            async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        continue;
                    };
                    stream.set_nodelay(true).unwrap();
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    let conn = Conn {
                        stream,
                        read: Vec::new(),
                        shared: shared.clone(),
                        current: None,
                    };
                    tokio::spawn(handler(conn));
                }
            }
        };
        Self {
            addr,
            shared,
            task: tokio::spawn(accept),
        }
    }

    /// Takes requests with this in them, once, for authorized.
    pub fn accept(&self, slot: String) {
        let mut slots = self.shared.slots.lock().unwrap();
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }

    /// What requests may have in them.
    pub fn accepted(&self) -> Vec<String> {
        self.shared.slots.lock().unwrap().clone()
    }

    /// All that has arrived so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The last request; there must be one.
    pub fn last(&self) -> Recorded {
        self.requests()
            .pop()
            .expect("the upstream received nothing")
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until what has arrived satisfies `condition`.
    pub async fn until(&self, condition: impl Fn(&[Recorded]) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        within(PATIENCE, async {
            while !condition(&self.requests()) {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until this is the end of what it was sent last.
    pub async fn until_sent(&self, end: &[u8]) {
        let arrived = |last: &Recorded| last.body.ends_with(end);
        self.until(|all| all.last().is_some_and(arrived)).await;
    }

    /// Waits until every connection to it has ended.
    pub async fn until_deserted(&self, limit: Duration) {
        let mut changed = self.shared.changed.subscribe();
        within(limit, async {
            while self.shared.open.load(Ordering::SeqCst) > 0 {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorded {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The header fields in the order in which they came.
    pub fn fields(&self) -> Vec<(&str, &str)> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": ").or_else(|| line.split_once(':')))
            .collect()
    }

    /// The values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = |(field, _): &(&str, &str)| field.eq_ignore_ascii_case(name);
        self.fields()
            .into_iter()
            .filter(named)
            .map(|(_, value)| value)
            .collect()
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

/// One connection to an upstream, seen from its side.
pub struct Conn {
    stream: TcpStream,
    read: Vec<u8>,
    shared: Arc<Shared>,
    current: Option<usize>,
}

impl Conn {
    /// Reads a request to its end. `None` when the connection ends.
    pub async fn read_request(&mut self) -> Option<usize> {
        let index = self.read_head().await?;
        while self.read_body().await?.is_some() {}
        Some(index)
    }

    /// Reads the head of the next request.
    pub async fn read_head(&mut self) -> Option<usize> {
        self.current = None;
        let head = self.take_until(b"\r\n\r\n").await?;
        let head_text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let slots = self.shared.slots.lock().unwrap().clone();
        let times: usize = slots
            .iter()
            .map(|slot| head_text.matches(slot.as_str()).count())
            .sum();
        let mut requests = self.shared.requests.lock().unwrap();
        requests.push(Recorded {
            raw: head,
            head: head_text,
            authorized: times == 1,
            ..Recorded::default()
        });
        self.current = Some(requests.len() - 1);
        drop(requests);
        self.shared.changed.send_replace(());
        self.current
    }

    /// The head of a request that was read.
    pub fn head(&self, index: usize) -> String {
        self.shared.requests.lock().unwrap()[index].head.clone()
    }

    /// Reads some of the body: `Some(None)` at its end, `None` when the connection ends.
    pub async fn read_body(&mut self) -> Option<Option<Vec<u8>>> {
        let (complete, so_far, chunked, length) = self.record(|request| {
            let length = request
                .values("content-length")
                .first()
                .map_or(0, |text| text.parse().unwrap());
            let chunked = request.values("transfer-encoding") == ["chunked"];
            (request.complete, request.body.len(), chunked, length)
        });
        if complete {
            return Some(None);
        }
        if !chunked {
            if so_far == length {
                self.record(|request| request.complete = true);
                return Some(None);
            }
            if self.read.is_empty() {
                self.fill().await?;
            }
            let take = self.read.len().min(length - so_far);
            let data: Vec<u8> = self.read.drain(..take).collect();
            self.record(|request| {
                request.raw.extend_from_slice(&data);
                request.body.extend_from_slice(&data);
            });
            return Some(Some(data));
        }
        let line = self.take_until(b"\r\n").await?;
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim().split(';').next().unwrap(), 16).unwrap();
        if size > 0 {
            while self.read.len() < size + 2 {
                self.fill().await?;
            }
            let data: Vec<u8> = self.read.drain(..size + 2).collect();
            self.record(|request| {
                request.raw.extend_from_slice(&line);
                request.raw.extend_from_slice(&data);
                request.body.extend_from_slice(&data[..size]);
            });
            return Some(Some(data[..size].to_vec()));
        }
        let mut end = line;
        loop {
            let line = self.take_until(b"\r\n").await?;
            end.extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line);
            let Some((name, value)) = text.trim_end().split_once(": ") else {
                break;
            };
            self.record(|request| request.trailers.push((name.into(), value.into())));
        }
        self.record(|request| {
            request.raw.extend_from_slice(&end);
            request.complete = true;
        });
        Some(None)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Waits until the other side has ended the connection.
    pub async fn closed(&mut self) {
        while self.fill().await.is_some() {}
    }

    /// Ends the connection the hard way.
    pub fn reset(self) {
        let stream = socket2::SockRef::from(&self.stream);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }

    async fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let before = self.read.len();
        match self.stream.read_buf(&mut self.read).await {
            Ok(read) if read > 0 => Some(()),
            _ => {
                self.read.truncate(before);
                None
            }
        }
    }

    fn record<T>(&self, change: impl FnOnce(&mut Recorded) -> T) -> T {
        let result = {
            let mut requests = self.shared.requests.lock().unwrap();
            change(&mut requests[self.current.expect("a head was read")])
        };
        self.shared.changed.send_replace(());
        result
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
        self.shared.changed.send_replace(());
    }
}

/// Waits for something that must happen.
pub async fn within<T>(limit: Duration, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, event)
        .await
        .expect("it did not happen in time")
}
