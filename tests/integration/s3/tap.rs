use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use sallygate_test_support::Oracle;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// Stands before a server, passes everything on as it is, and keeps every request.
pub(super) struct Tap {
    pub(super) addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    oracle: Arc<Oracle>,
    /// The access key id: where it may stand.
    slot: String,
    task: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) head: String,
    /// As it was framed by HTTP.
    pub(super) body: Vec<u8>,
    pub(super) complete: bool,
}

impl Tap {
    pub(super) async fn before(server: SocketAddr, oracle: Arc<Oracle>, id: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = requests.clone();
        let task = tokio::spawn(async move {
            loop {
                let (caller, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(server).await.unwrap();
                caller.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let ((from, mut to), (mut answers, forward)) =
                    (caller.into_split(), server.into_split());
                tokio::spawn(async move { copy(&mut answers, &mut to).await });
                tokio::spawn(pass(from, forward, kept.clone()));
            }
        });
        Self {
            addr,
            requests,
            oracle,
            slot: format!("Credential={id}/"),
            task,
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Request {
        self.requests().pop().expect("the server received nothing")
    }
}

/// How much of a body is kept.
const KEPT: usize = 1 << 20;

/// How much of a body is searched for secrets.
const BODY: usize = 64 << 10;

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
        for request in self.requests() {
            self.oracle.saw_request(
                "S3",
                request.head.as_bytes(),
                std::slice::from_ref(&self.slot),
            );
            // What we add, if anything, is at the beginning.
            let body = request.body.get(..BODY).unwrap_or(&request.body);
            self.oracle.saw("body to S3", body);
        }
    }
}

impl Request {
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of a header that may be there once.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "{name} is there {} times", values.len());
        values.first().copied()
    }
}

/// One connection, in the direction of the server.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, requests: Arc<Mutex<Vec<Request>>>) {
    let mut unread = Vec::new();
    let mut current: Option<(usize, Left)> = None;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(read) if read > 0 => read,
            _ => return,
        };
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        unread.extend_from_slice(&buffer[..read]);
        loop {
            let Some((index, left)) = &mut current else {
                let Some(end) = memchr::memmem::find(&unread, b"\r\n\r\n") else {
                    break;
                };
                let head = String::from_utf8(unread.drain(..end + 4).collect()).unwrap();
                let request = Request {
                    head,
                    ..Request::default()
                };
                let left = Left::of(&request);
                let mut requests = requests.lock().unwrap();
                requests.push(request);
                current = Some((requests.len() - 1, left));
                continue;
            };
            let (taken, ended) = left.take(&mut unread);
            let mut requests = requests.lock().unwrap();
            let body = &mut requests[*index].body;
            let room = KEPT.saturating_sub(body.len()).min(taken.len());
            body.extend_from_slice(&taken[..room]);
            if !ended {
                break;
            }
            requests[*index].complete = true;
            current = None;
        }
    }
}

/// What is still to come of a body.
enum Left {
    Bytes(usize),
    Chunks,
}

impl Left {
    fn of(request: &Request) -> Self {
        match request.value("transfer-encoding") {
            Some(_) => Self::Chunks,
            None => Self::Bytes(
                request
                    .value("content-length")
                    .map_or(0, |length| length.parse().unwrap()),
            ),
        }
    }

    /// Takes what there is of it, and says whether that was the end.
    fn take(&mut self, unread: &mut Vec<u8>) -> (Vec<u8>, bool) {
        match self {
            Self::Bytes(left) => {
                let taken: Vec<u8> = unread.drain(..unread.len().min(*left)).collect();
                *left -= taken.len();
                (taken, *left == 0)
            }
            Self::Chunks => {
                let mut taken = Vec::new();
                while let Some(end) = memchr::memmem::find(unread, b"\r\n") {
                    let size = std::str::from_utf8(&unread[..end]).unwrap();
                    let size = usize::from_str_radix(size, 16).unwrap();
                    if unread.len() < end + 2 + size + 2 {
                        break;
                    }
                    taken.extend_from_slice(&unread[end + 2..end + 2 + size]);
                    unread.drain(..end + 2 + size + 2);
                    if size == 0 {
                        return (taken, true);
                    }
                }
                (taken, false)
            }
        }
    }
}
