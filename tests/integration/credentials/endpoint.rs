use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use sallygate::{Body, Target};
use sallygate_test_support::{PATIENCE, within};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// A token endpoint, over HTTP on loopback. It keeps what it was asked, and does what its mood is.
pub(super) struct Endpoint {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    calls: Mutex<Vec<Call>>,
    mood: watch::Sender<Mood>,
    changed: watch::Sender<()>,
    issue: Issue,
}

type Issue = Box<dyn Fn(&Call) -> Response<Body> + Send + Sync>;

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

#[derive(Clone)]
pub(super) enum Mood {
    /// Checks and issues.
    Issue,
    /// Says nothing until the mood changes.
    Hold,
    /// Ends the connection.
    Down,
    /// Says this, to whatever it is asked.
    Say(Arc<dyn Fn() -> Response<Body> + Send + Sync>),
}

impl Endpoint {
    pub(super) async fn start(
        issue: impl Fn(&Call) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            calls: Mutex::default(),
            mood: watch::Sender::new(Mood::Issue),
            changed: watch::Sender::new(()),
            issue: Box::new(issue),
        });
        let task = {
            let shared = shared.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let shared = shared.clone();
                    let service = service_fn(move |request| shared.clone().answer(request));
                    let server = http1::Builder::new();
                    tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
                }
            })
        };
        Self { addr, shared, task }
    }

    pub(super) fn target(&self, path: &str) -> Target {
        Target::dangerous_plaintext(&format!("http://{}{path}", self.addr)).unwrap()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Call {
        self.calls().pop().expect("the endpoint was not asked")
    }

    pub(super) fn mood(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    pub(super) fn say(&self, say: impl Fn() -> Response<Body> + Send + Sync + 'static) {
        self.mood(Mood::Say(Arc::new(say)));
    }

    /// Waits until it was asked so often.
    pub(super) async fn until(&self, calls: usize) {
        let mut changed = self.shared.changed.subscribe();
        within(PATIENCE, async {
            while self.shared.calls.lock().unwrap().len() < calls {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let call = Call {
            line: format!("{} {}", parts.method, parts.uri),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        self.calls.lock().unwrap().push(call.clone());
        self.changed.send_replace(());
        let mut mood = self.mood.subscribe();
        let decided = mood.wait_for(|mood| !matches!(mood, Mood::Hold));
        let mood = decided.await.map_err(io::Error::other)?.clone();
        match mood {
            Mood::Say(say) => Ok(say()),
            Mood::Down | Mood::Hold => Err(io::Error::other("down")),
            Mood::Issue => Ok((self.issue)(&call)),
        }
    }
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert_eq!(values.next(), None, "{name} is there more than once");
        Some(value)
    }

    /// The body as a form; a name that is there twice is no name at all.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text)
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        let mut form = BTreeMap::new();
        for pair in self.body.split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            let before = form.insert(decode(name), decode(value));
            assert_eq!(before, None, "{name} is there twice");
        }
        form
    }
}

pub(super) fn json(status: u16, body: impl ToString) -> Response<Body> {
    say(status, "application/json", body.to_string())
}

pub(super) fn say(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "no-store")
        .body(body.into())
        .unwrap()
}
