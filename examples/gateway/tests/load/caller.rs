use std::{io, net::SocketAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use sallygate_test_support::PATIENCE;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// One connection to the gateway.
pub(crate) struct Caller {
    conn: BufReader<TcpStream>,
    /// The other side has said that this is the last answer.
    pub(crate) closing: bool,
    chunked: bool,
    left: usize,
}

impl Caller {
    pub(crate) async fn connect(gateway: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(gateway)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            conn: BufReader::with_capacity(1024, stream),
            closing: false,
            chunked: false,
            left: 0,
        })
    }

    /// Sends a request and gives the status of its answer.
    pub(crate) async fn ask(
        &mut self,
        line: &str,
        token: &str,
        fields: &str,
        body: &[u8],
    ) -> io::Result<u16> {
        let mut length = String::new();
        if !body.is_empty() {
            length = format!("content-length: {}\r\n", body.len());
        }
        let head = format!(
            "{line} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {token}\r\n{fields}{length}\r\n"
        );
        self.conn
            .write_all(&[head.as_bytes(), body].concat())
            .await?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if timeout(PATIENCE, self.conn.read_line(&mut head)).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.chunked = field(&head, "transfer-encoding") == Some("chunked");
        self.left = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        self.closing = field(&head, "connection") == Some("close");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The next piece of the body; empty at its end.
    pub(crate) async fn piece(&mut self) -> io::Result<String> {
        if self.chunked {
            let mut line = String::new();
            timeout(PATIENCE, self.conn.read_line(&mut line)).await??;
            let length = usize::from_str_radix(line.trim(), 16);
            self.left = length.map_err(|_| io::ErrorKind::UnexpectedEof)?;
        }
        let mut piece = vec![0; self.left + if self.chunked { 2 } else { 0 }];
        timeout(PATIENCE, self.conn.read_exact(&mut piece)).await??;
        piece.truncate(self.left);
        self.chunked &= self.left > 0;
        self.left = 0;
        String::from_utf8(piece).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    pub(crate) async fn body(&mut self) -> io::Result<String> {
        let mut body = String::new();
        loop {
            let piece = self.piece().await?;
            if piece.is_empty() {
                return Ok(body);
            }
            body += &piece;
        }
    }

    /// Opens a WebSocket.
    pub(crate) async fn upgrade(&mut self, path: &str, token: &str) -> io::Result<u16> {
        let fields = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                      sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        self.ask(&format!("GET {path}"), token, fields, b"").await
    }

    /// Sends a frame, and expects it back.
    pub(crate) async fn echo(&mut self, payload: &[u8; 8]) -> io::Result<bool> {
        // Masked with zeros.
        let frame = [&[0x82, 0x88, 0, 0, 0, 0], &payload[..]].concat();
        self.conn.write_all(&frame).await?;
        let mut back = vec![0; frame.len()];
        timeout(PATIENCE, self.conn.read_exact(&mut back)).await??;
        Ok(back == frame)
    }
}

pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

pub(crate) fn accept(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let add = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    bytes.iter().fold(7, add)
}
