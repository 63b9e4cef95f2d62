//! Both sides of a WebSocket, byte by byte.

pub mod http2;

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use sallygate::Target;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{PATIENCE, Scene, Setup, Stack, within};

/// The key of every handshake: the example of RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What takes a handshake with [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The closing frames of the proxy: to the caller, and to the upstream.
pub const GOING_AWAY: (&[u8], &[u8]) = (
    &[0x88, 2, 0x03, 0xe9],
    &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9],
);
/// The same for what is no longer allowed.
pub const POLICY_VIOLATION: (&[u8], &[u8]) = (
    &[0x88, 2, 0x03, 0xf0],
    &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0],
);

/// Any connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, plain or over TLS.
pub type Io = Box<dyn Stream>;

/// An upstream that takes a handshake, answers it, and hands its connection to the test.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    accepted: mpsc::Receiver<(String, Io)>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes every handshake; `more` is in its answers.
    pub async fn switching(more: &'static str) -> Self {
        Self::answering(move |head| switching(head, more)).await
    }

    /// Responds to every handshake with what `answer` makes of its head.
    pub async fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, None, answer)
    }

    /// The same, on this listener, and over TLS if it is given.
    pub fn on(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::channel(64);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, answer, sender) = (tls.clone(), answer.clone(), sender.clone());
                tokio::spawn(async move {
                    let mut stream: Io = match tls {
                        None => Box::new(stream),
                        Some(tls) => Box::new(tls.accept(stream).await.unwrap()),
                    };
                    let head = read_head(&mut stream).await;
                    stream.write_all(answer(&head).as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    let _ = sender.send((head, stream)).await;
                });
            }
        });
        Self {
            addr,
            accepted,
            task,
        }
    }

    /// The next handshake, and the connection that it came on.
    pub async fn next(&mut self) -> (String, Io) {
        within(PATIENCE, self.accepted.recv()).await.unwrap()
    }

    /// Whether there was none.
    pub fn is_untouched(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }

    /// Where a service before it leads to.
    pub fn target(&self) -> Target {
        Target::dangerous_plaintext(&format!("http://{}/v1", self.addr)).unwrap()
    }

    /// Begins a scene whose service, `ws`, leads to this server.
    pub async fn scene(self) -> Setup<Self> {
        let target = self.target();
        Stack::new().await.scene().name("ws").before(self, target)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scene<Server> {
    /// A socket, open: its two ends.
    pub async fn open(&mut self) -> (TcpStream, Io) {
        let (answer, caller) = ask(self.front.addr, &handshake(&self.token, "")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let (_, upstream) = self.upstream.next().await;
        (caller, upstream)
    }
}

/// The answer that takes the handshake.
pub fn switching(head: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n{more}\r\n",
        accept(field(head, "sec-websocket-key"))
    )
}

fn accept(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// The value of a field that is there once; empty if there is none.
pub fn field<'h>(head: &'h str, name: &str) -> &'h str {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    let value = found.next().map_or("", |(_, value)| value);
    assert!(found.next().is_none(), "{name} is there twice: {head}");
    value
}

/// A handshake for the service `ws`; `more` is further header fields.
pub fn handshake(token: &str, more: &str) -> String {
    handshake_at(
        "/proxy/ws/chat?room=1",
        &format!("Authorization: Bearer {token}\r\n{more}"),
    )
}

/// A handshake for any path, without a token.
pub fn handshake_at(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gate.test\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// Sends a request, and reads the head of the answer.
pub async fn ask(front: SocketAddr, request: &str) -> (String, TcpStream) {
    let mut caller = TcpStream::connect(front).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut caller).await;
    (head, caller)
}

/// Reads a head to its empty line.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(PATIENCE, stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Reads so many bytes.
pub async fn exact<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> [u8; N] {
    let mut bytes = [0; N];
    let read = within(PATIENCE, stream.read_exact(&mut bytes)).await;
    read.unwrap();
    bytes
}

/// All bytes until the end, whatever it is like.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within(PATIENCE, stream.read_to_end(&mut bytes)).await;
    bytes
}

/// A frame each way.
pub async fn exchange(
    caller: &mut (impl AsyncRead + AsyncWrite + Unpin),
    upstream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    caller.write_all(b"\x81\x85abcdhello").await.unwrap();
    caller.flush().await.unwrap();
    assert_eq!(&exact::<11>(upstream).await, b"\x81\x85abcdhello");
    upstream.write_all(b"\x81\x05world").await.unwrap();
    upstream.flush().await.unwrap();
    assert_eq!(&exact::<7>(caller).await, b"\x81\x05world");
}
