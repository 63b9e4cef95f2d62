//! git's own server side, `git http-backend`, behind HTTP and a check of the credential.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sallygate::Body;
use sallygate_test_support::{Oracle, Server, Slot};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::api::head;
use crate::process::Site;

/// How much of a body is kept, to be searched.
const KEPT: usize = 1 << 20;

pub(super) struct GitServer {
    pub(super) server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    oracle: Arc<Oracle>,
    folder: PathBuf,
    slot: String,
    calls: Mutex<Vec<Call>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Call {
    head: String,
    beginning: Vec<u8>,
    pub(super) length: usize,
    authorized: bool,
}

impl Call {
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.head.lines().any(|line| line == field)
    }
}

impl GitServer {
    /// Serves the repositories below `folder`.
    pub(super) async fn start(site: &Site, folder: &Path) -> Self {
        let shared = Arc::new(Shared {
            oracle: site.oracle.clone(),
            folder: folder.to_owned(),
            slot: Slot::Basic("x-access-token").show(&site.key),
            calls: Mutex::default(),
        });
        let server = Server::answering(None, {
            let shared = shared.clone();
            move |request| shared.clone().respond(request)
        })
        .await;
        Self { server, shared }
    }

    /// All that has arrived, with the credential in its slot.
    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap().clone();
        for call in &calls {
            assert!(call.authorized, "without the credential: {}", call.line());
        }
        calls
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let own = [self.shared.slot.clone()];
        for call in self.shared.calls.lock().unwrap().iter() {
            let raw = [call.head.as_bytes(), &call.beginning].concat();
            self.shared.oracle.saw_request("git's server", &raw, &own);
        }
    }
}

impl Shared {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let head = head(&parts);
        let authorized = head.matches(&self.slot).count() == 1;
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(Call {
                head,
                beginning: Vec::new(),
                length: 0,
                authorized,
            });
            calls.len() - 1
        };
        if !authorized {
            return Response::builder()
                .status(401)
                .header("www-authenticate", "Basic realm=\"git\"")
                .body("no such key\n".into())
                .unwrap();
        }
        let mut process = self.backend(&parts).spawn().unwrap();
        tokio::spawn(self.feed(number, body, process.stdin.take().unwrap()));

        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, mut chunks) = mpsc::channel::<io::Result<Bytes>>(4);
        let (answered, answer) = oneshot::channel();
        spawn_blocking(move || {
            let _ = answered.send(cgi_head(&mut stdout));
            loop {
                let mut chunk = vec![0; 64 << 10];
                match stdout.read(&mut chunk) {
                    Ok(read) if read > 0 => {
                        chunk.truncate(read);
                        if sender.blocking_send(Ok(chunk.into())).is_err() {
                            break;
                        }
                    }
                    _ => break,
                }
            }
            drop(stdout);
            let status = process.wait().unwrap();
            if !status.success() {
                let _ = sender.blocking_send(Err(io::Error::other("git http-backend failed")));
            }
        });
        let (status, fields) = answer.await.unwrap();
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(name, value);
        }
        let chunks = stream::poll_fn(move |cx| chunks.poll_recv(cx));
        response.body(Body::from_stream(chunks)).unwrap()
    }

    /// The request's body goes in as it comes, a chunk at a time.
    async fn feed(self: Arc<Self>, number: usize, mut body: Incoming, mut stdin: ChildStdin) {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            {
                let call = &mut self.calls.lock().unwrap()[number];
                call.length += data.len();
                let room = KEPT.saturating_sub(call.beginning.len()).min(data.len());
                call.beginning.extend_from_slice(&data[..room]);
            }
            let written = spawn_blocking(move || stdin.write_all(&data).map(|()| stdin));
            match written.await.unwrap() {
                Ok(same) => stdin = same,
                Err(_) => return,
            }
        }
    }

    /// As RFC 3875 has it.
    fn backend(&self, parts: &Parts) -> Command {
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.folder)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // Those with a name may push.
            .env("REMOTE_USER", "x-access-token")
            .env("REQUEST_METHOD", parts.method.as_str())
            .env("PATH_INFO", parts.uri.path())
            .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (field, variable) in [
            ("content-type", "CONTENT_TYPE"),
            ("content-length", "CONTENT_LENGTH"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ] {
            if let Some(value) = parts.headers.get(field) {
                command.env(variable, value.to_str().unwrap());
            }
        }
        command
    }
}

/// The status, 200 if none is said, and the fields that the backend sets.
fn cgi_head(stdout: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let (mut status, mut fields) = (200, Vec::new());
    for line in stdout.by_ref().lines() {
        let line = line.unwrap();
        match line.trim_end().split_once(": ") {
            None => break,
            Some(("Status", text)) => status = text[..3].parse().unwrap(),
            Some((name, value)) => fields.push((name.to_owned(), value.to_owned())),
        }
    }
    (status, fields)
}
