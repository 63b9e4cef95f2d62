use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use super::caller::{accept, checksum, field};

/// An API that knows some keys and keeps nothing of what it is sent.
///
/// `/small`, `/upload`, `/stream` of five events, `/hold` of one event now and one when it is told, and `/socket`, which
/// sends back what it gets.
pub(crate) struct Api {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    keys: Mutex<VecDeque<String>>,
    seen: Mutex<HashSet<String>>,
    tick: watch::Sender<bool>,
}

/// How many keys are good at a time: those that are about to go among them.
const KEYS: usize = 4;

pub(crate) const EVENTS: usize = 5;

type Conn = BufReader<TcpStream>;

impl Api {
    pub(crate) async fn start(key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            keys: Mutex::new([key.to_owned()].into()),
            seen: Mutex::default(),
            tick: watch::Sender::new(false),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let shared = serving.clone();
                tokio::spawn(async move {
                    let mut conn = BufReader::with_capacity(1024, stream);
                    while serve(&shared, &mut conn).await.is_some() {}
                });
            }
        });
        Self { addr, shared }
    }

    /// Makes one more key a good one, and the oldest no longer.
    pub(crate) fn rotate(&self, key: &str) {
        let mut keys = self.shared.keys.lock().unwrap();
        keys.push_back(key.to_owned());
        if keys.len() > KEYS {
            keys.pop_front();
        }
    }

    /// How many keys were used so far.
    pub(crate) fn keys_seen(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Lets everything that is held go on.
    pub(crate) fn tick(&self) {
        self.shared.tick.send_replace(true);
    }
}

/// Answers one request; `None` when the connection is at its end.
async fn serve(shared: &Shared, conn: &mut Conn) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if conn.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let line = head.lines().next()?.to_owned();
    let target = line.split(' ').nth(1)?;
    let (path, id) = target.split_once("?n=").unwrap_or((target, ""));
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    conn.read_exact(&mut body).await.ok()?;
    let key = field(&head, "authorization")?.strip_prefix("Bearer ")?;
    if !shared.keys.lock().unwrap().iter().any(|own| own == key) {
        return answer(conn, "401 Unauthorized", "no such key").await;
    }
    if !shared.seen.lock().unwrap().contains(key) {
        shared.seen.lock().unwrap().insert(key.to_owned());
    }
    match path {
        "/v1/small" => answer(conn, "200 OK", &format!("small {id}")).await,
        "/v1/upload" => {
            let sum = checksum(&body);
            answer(conn, "200 OK", &format!("{length} {sum} {id}")).await
        }
        "/v1/stream" => {
            begin(conn).await?;
            for event in 0..EVENTS {
                chunk(conn, &format!("data: {id} {event}\n\n")).await?;
                sleep(Duration::from_millis(2)).await;
            }
            chunk(conn, "").await
        }
        "/v1/hold" => {
            begin(conn).await?;
            chunk(conn, "data: first\n\n").await?;
            let mut tick = shared.tick.subscribe();
            tokio::select! {
                told = tick.wait_for(|told| *told) => drop(told),
                _ = conn.fill_buf() => return None,
            }
            chunk(conn, "data: tick\n\n").await?;
            // Until the other side has had enough.
            let _ = conn.fill_buf().await;
            None
        }
        "/v1/socket" => {
            let accept = accept(field(&head, "sec-websocket-key")?);
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {accept}\r\n\r\n"
            );
            conn.write_all(answer.as_bytes()).await.ok()?;
            let mut frame = [0; 256];
            loop {
                match conn.read(&mut frame).await.ok()? {
                    0 => return None,
                    read => conn.write_all(&frame[..read]).await.ok()?,
                }
            }
        }
        _ => answer(conn, "404 Not Found", target).await,
    }
}

async fn answer(conn: &mut Conn, status: &str, body: &str) -> Option<()> {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    conn.write_all(answer.as_bytes()).await.ok()
}

async fn begin(conn: &mut Conn) -> Option<()> {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    conn.write_all(head).await.ok()
}

async fn chunk(conn: &mut Conn, data: &str) -> Option<()> {
    let chunk = format!("{:x}\r\n{data}\r\n", data.len());
    conn.write_all(chunk.as_bytes()).await.ok()
}
