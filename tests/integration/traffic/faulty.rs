use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sallygate_test_support::{Oracle, PATIENCE, Slot, within};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What an upstream does with a request for `/fault`, whose head has been read. It gives its end of the connection back
/// if it is to serve further requests.
pub(super) type Fault = Box<dyn Fn(Peer) -> Faulting + Send + Sync>;
pub(super) type Faulting = Pin<Box<dyn Future<Output = Option<Peer>> + Send>>;

/// Makes a [`Fault`] of an async closure.
pub(super) fn fault<F>(act: impl Fn(Peer) -> F + Send + Sync + 'static) -> Fault
where
    F: Future<Output = Option<Peer>> + Send + 'static,
{
    Box::new(move |peer| Box::pin(act(peer)))
}

/// An HTTP/1.1 server that answers `good` to whatever has the credential, but for `/fault`.
pub(super) struct Faulty {
    pub(super) addr: SocketAddr,
    pub(super) seen: Arc<Seen>,
    key: String,
    task: JoinHandle<()>,
}

/// What an upstream has seen so far.
pub(super) struct Seen {
    /// Byte for byte, one for each connection.
    received: Mutex<Vec<Vec<u8>>>,
    open: AtomicUsize,
    changed: watch::Sender<()>,
}

/// Lets everything else run until it waits: what was written before has been read after it. The runtime of a test has one
/// thread, and each of these sleeps ends in a later round of it.
pub(super) async fn settle() {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The upstream's end of a connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    pub(super) read: Vec<u8>,
    number: usize,
    seen: Arc<Seen>,
}

impl Faulty {
    pub(super) async fn new(key: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            received: Mutex::default(),
            open: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        });
        let fault = Arc::new(fault);
        let slot = Slot::Bearer.show(key);
        let accept = {
            let seen = seen.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let peer = Peer::new(stream, seen.clone());
                    tokio::spawn(serve(peer, fault.clone(), slot.clone()));
                }
            }
        };
        Self {
            addr,
            seen,
            key: key.into(),
            task: tokio::spawn(accept),
        }
    }

    /// Shows what arrived to the oracle.
    pub(super) fn show(&self, oracle: &Oracle) {
        let slot = Slot::Bearer.show(&self.key);
        for mut received in self.seen.received.lock().unwrap().clone() {
            // One connection has many requests, each with the credential in its slot.
            while let Some(at) = memchr::memmem::find(&received, slot.as_bytes()) {
                received.drain(at..at + slot.len());
            }
            oracle.saw("request to the faulty upstream", received);
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut peer: Peer, fault: Arc<Fault>, slot: String) {
    loop {
        let Some(head) = peer.head().await else {
            return;
        };
        if head.matches(&slot).count() != 1 {
            peer.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                .await;
            return;
        }
        if head.contains("/fault") {
            match fault(peer).await {
                None => return,
                Some(back) => peer = back,
            }
            continue;
        }
        peer.body(&head).await;
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
            .await;
    }
}

impl Seen {
    /// All that has come over a connection so far.
    pub(super) fn received(&self, connection: usize) -> Vec<u8> {
        let received = self.received.lock().unwrap();
        received.get(connection).cloned().unwrap_or_default()
    }

    pub(super) fn connections(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Waits until so many connections are open.
    pub(super) async fn until_open(&self, count: usize, limit: Duration) {
        self.until(limit, |seen| seen.open.load(Ordering::SeqCst) == count)
            .await;
    }

    pub(super) async fn until(&self, limit: Duration, condition: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        within(limit, async {
            while !condition(self) {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }
}

impl Peer {
    fn new(stream: TcpStream, seen: Arc<Seen>) -> Self {
        let mut received = seen.received.lock().unwrap();
        received.push(Vec::new());
        let number = received.len() - 1;
        drop(received);
        seen.open.fetch_add(1, Ordering::SeqCst);
        seen.changed.send_replace(());
        Self {
            stream,
            read: Vec::new(),
            number,
            seen,
        }
    }

    /// Reads a head. `None` when the connection has ended.
    pub(super) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            self.fill().await?;
        }
    }

    /// Reads the body that this head announces.
    pub(super) async fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        while self.read.len() < length {
            self.fill().await?;
        }
        Some(self.read.drain(..length).collect())
    }

    pub(super) async fn fill(&mut self) -> Option<()> {
        let before = self.read.len();
        match self.stream.read_buf(&mut self.read).await {
            Ok(read) if read > 0 => {
                let new = &self.read[before..];
                self.seen.received.lock().unwrap()[self.number].extend_from_slice(new);
                self.seen.changed.send_replace(());
                Some(())
            }
            _ => None,
        }
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Writes until the other side has gone; gives how much.
    pub(super) async fn flood(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while self.stream.write_all(bytes).await.is_ok() {
            written += bytes.len();
        }
        written
    }

    /// Ends the direction towards the proxy, and waits for the other to end.
    pub(super) async fn half_close(mut self) {
        let _ = self.stream.shutdown().await;
        self.closed().await;
    }

    /// Waits until the other side has ended the connection.
    pub(super) async fn closed(&mut self) {
        let _ = tokio::time::timeout(PATIENCE, async {
            while self.fill().await.is_some() {
                self.read.clear();
            }
        })
        .await;
    }

    /// Ends the connection the hard way.
    pub(super) fn reset(self) {
        let stream = SockRef::from(&self.stream);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::SeqCst);
        self.seen.changed.send_replace(());
    }
}
