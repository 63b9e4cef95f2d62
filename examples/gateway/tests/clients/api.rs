//! An API that demands the real credential.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sallygate::Body;
use sallygate_test_support::{Oracle, Server, Slot};
use serde_json::Value;
use tokio::sync::Notify;

use crate::process::{Site, client};

/// Answers requests that bear the credential, once and in its slot, and refuses all others as the API would.
///
/// What it was sent is searched for the token and stray copies of the credential when it is dropped.
pub(super) struct Api {
    pub(super) server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    oracle: Arc<Oracle>,
    slot: String,
    requests: Mutex<Vec<Call>>,
    acknowledged: Arc<Notify>,
    answer: fn(&Call) -> Reply,
    refusal: Refusal,
}

/// The API's status and body for a key that it does not know.
pub(super) type Refusal = (u16, &'static str);

/// A request as the API got it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) head: String,
    /// `GET /v1/models?limit=1`
    pub(super) line: String,
    pub(super) parts: Parts,
    pub(super) body: Vec<u8>,
    pub(super) authorized: bool,
}

/// What the API answers.
pub(super) enum Reply {
    Json(u16, Value),
    /// Server-sent events. The second and all others are held back until the client says that it has got the first.
    Events(Vec<String>),
}

/// What a client fetches, past the gateway, to acknowledge the first event.
const ACKNOWLEDGE: &str = "/acknowledge";

impl Call {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.parts.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Api {
    pub(super) async fn start(
        site: &Site,
        slot: Slot,
        refusal: Refusal,
        answer: fn(&Call) -> Reply,
    ) -> Self {
        let shared = Arc::new(Shared {
            oracle: site.oracle.clone(),
            slot: slot.show(&site.key),
            requests: Mutex::default(),
            acknowledged: Arc::default(),
            answer,
            refusal,
        });
        let server = Server::answering(None, {
            let shared = shared.clone();
            move |request| shared.clone().respond(request)
        })
        .await;
        Self { server, shared }
    }

    pub(super) fn acknowledge_url(&self) -> String {
        format!("http://{}{ACKNOWLEDGE}", self.server.addr)
    }

    /// All that has arrived, with the credential in its slot.
    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.shared.requests.lock().unwrap().clone();
        for call in &calls {
            assert!(call.authorized, "without the credential: {}", call.line);
        }
        calls
    }

    /// The first request whose line begins so.
    pub(super) fn call(&self, line: &str) -> Call {
        let calls = self.calls();
        let lines: Vec<_> = calls.iter().map(|call| call.line.clone()).collect();
        let found = calls.into_iter().find(|call| call.line.starts_with(line));
        found.unwrap_or_else(|| panic!("no {line} in {lines:?}"))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let own = [self.shared.slot.clone()];
        for call in self.shared.requests.lock().unwrap().iter() {
            let raw = [call.head.as_bytes(), &call.body].concat();
            self.shared.oracle.saw_request("the API", &raw, &own);
        }
    }
}

impl Shared {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == ACKNOWLEDGE {
            self.acknowledged.notify_one();
            return Response::new(Body::empty());
        }
        let head = head(&parts);
        let call = Call {
            line: format!("{} {}", parts.method, parts.uri),
            body: body.collect().await.unwrap().to_bytes().to_vec(),
            authorized: head.matches(&self.slot).count() == 1,
            head,
            parts,
        };
        self.requests.lock().unwrap().push(call.clone());
        let reply = if call.authorized {
            (self.answer)(&call)
        } else {
            let (status, body) = self.refusal;
            Reply::Json(status, serde_json::from_str(body).unwrap())
        };
        match reply {
            Reply::Json(status, body) => {
                response(status, "application/json", body.to_string().into())
            }
            Reply::Events(events) => {
                response(200, "text/event-stream; charset=utf-8", self.held(events))
            }
        }
    }

    fn held(&self, events: Vec<String>) -> Body {
        let acknowledged = self.acknowledged.clone();
        let mut events = events.into_iter();
        let first = events.next().unwrap();
        let rest: String = events.collect();
        let rest = stream::once(async move {
            acknowledged.notified().await;
            rest
        });
        let chunks = stream::iter([first]).chain(rest);
        Body::from_stream(chunks.map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk))))
    }
}

fn response(status: u16, kind: &str, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, kind)
        .header("request-id", "req_upstream")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn the_api_of_these_tests_refuses_everything_but_the_credential() {
    let site = Site::new().await;
    let answer = |call: &Call| Reply::Json(200, call.line.as_str().into());
    let refusal = (401, r#"{"error":"invalid key"}"#);
    let api = Api::start(&site, Slot::Bearer, refusal, answer).await;
    let ask = async |key: &str| {
        let request = Request::builder()
            .uri(format!("http://{}/v1/models", api.server.addr))
            .header("authorization", format!("Bearer {key}"))
            .body(Body::empty());
        let response = client().request(request.unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (
            head.status.as_u16(),
            body.collect().await.unwrap().to_bytes(),
        )
    };
    assert_eq!(ask(&site.key).await, (200, r#""GET /v1/models""#.into()));
    for other in ["", "some.other.token", &site.key[1..]] {
        assert_eq!(ask(other).await, (401, refusal.1.into()), "{other}");
    }
    // The last of them would rightly be taken for a leak.
    api.shared.requests.lock().unwrap().truncate(1);
}

/// As text, as it was on the wire.
pub(super) fn head(parts: &Parts) -> String {
    let mut head = format!("{} {} {:?}\r\n", parts.method, parts.uri, parts.version);
    for (name, value) in &parts.headers {
        let value = value.as_bytes().iter().map(|byte| char::from(*byte));
        head.push_str(&format!("{name}: {}\r\n", value.collect::<String>()));
    }
    head + "\r\n"
}
