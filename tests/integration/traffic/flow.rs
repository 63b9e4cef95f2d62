//! Flow control from end to end over HTTP/2: who stops reading stops the writer, and nobody else.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body_util::BodyExt;
use sallygate::{Api, Body, Client, Target};
use sallygate_test_support::{Authority, Front, PATIENCE, Server, Stack, within};
use tokio::sync::Semaphore;

use super::{
    caller::{Caller, request},
    callers::until_it_rests,
};

const BLOCK: usize = 1 << 16;

/// What is buffered for one stream on its way, at most.
const BOUND: usize = 6 << 20;

/// Blocks without end, counted as they are taken.
fn endless(taken: &Arc<AtomicUsize>) -> Body {
    let taken = taken.clone();
    let block = Bytes::from(vec![b'a'; BLOCK]);
    Body::from_stream(stream::repeat_with(move || {
        taken.fetch_add(BLOCK, Ordering::SeqCst);
        Ok::<_, Infallible>(block.clone())
    }))
}

/// A proxy before an upstream that both speak HTTP/2.
struct Pair {
    stack: Stack,
    front: Front,
    _upstream: Server,
    sent: Arc<AtomicUsize>,
    read_on: Arc<Semaphore>,
}

impl Pair {
    /// `/endless` is answered without end, and `/event` with one event and no end; the body for `/later` is read once it is let; all else is answered at once.
    async fn new() -> Self {
        let stack = Stack::new().await;
        let sent: Arc<AtomicUsize> = Arc::default();
        let read_on = Arc::new(Semaphore::new(0));
        let authority = Authority::new();
        let tls = authority.server("127.0.0.1", &["h2"]);
        let (count, wait) = (sent.clone(), read_on.clone());
        let upstream = Server::answering(Some(tls), move |request| {
            let (count, wait) = (count.clone(), wait.clone());
            async move {
                match request.uri().path() {
                    "/endless" => Response::new(endless(&count)),
                    "/event" => {
                        let event = stream::iter([Ok::<_, Infallible>("event")]);
                        Response::new(Body::from_stream(event.chain(stream::pending())))
                    }
                    "/later" => {
                        wait.acquire().await.unwrap().forget();
                        let mut body = request.into_body();
                        let mut left = BOUND;
                        while left > 0 {
                            let frame = body.frame().await.unwrap().unwrap();
                            left = left.saturating_sub(frame.into_data().unwrap().len());
                        }
                        Response::new(Body::from("enough"))
                    }
                    _ => Response::new(Body::from("good")),
                }
            }
        });
        let upstream = upstream.await;
        let target = Target::new(&format!("https://{}", upstream.addr)).unwrap();
        let layer = stack
            .layer_with("svc", Api::bearer(target, stack.key.clone()))
            .client(Client::new().add_root_certificates(&authority.pem).unwrap());
        Self {
            front: stack.serve(layer.into_service()).await,
            stack,
            _upstream: upstream,
            sent,
            read_on,
        }
    }

    async fn assert_good(&self) {
        let mut caller = Caller::connect(&self.front).await;
        let asked = request("GET", "/proxy/svc/good", &self.stack.token());
        let answer = caller.call(&self.stack.oracle, asked, Body::empty());
        let answer = within(PATIENCE, answer).await;
        assert_eq!((answer.status, answer.text()), (200, "good"));
    }
}

#[tokio::test]
async fn callers_that_do_not_read_stop_their_answers_and_no_others() {
    let pair = Pair::new().await;
    let token = pair.stack.token();
    let mut callers = Vec::new();
    for stalled in 1..=4 {
        let before = pair.sent.load(Ordering::SeqCst);
        let mut caller = Caller::connect(&pair.front).await;
        let asked = request("GET", "/proxy/svc/endless", &token);
        let response = caller.send(asked, Body::empty()).await;
        assert_eq!(response.status(), 200);
        let sent = until_it_rests(|| pair.sent.load(Ordering::SeqCst) - before).await;
        assert!(sent < BOUND, "{sent} bytes were taken for caller {stalled}");
        callers.push((caller, response));
        // All share one connection to the upstream.
        pair.assert_good().await;
    }
    // Reading on brings more than there can have been in any buffer.
    let (_caller, mut response) = callers.pop().unwrap();
    let mut read = 0;
    while read < BOUND {
        let frame = within(PATIENCE, response.frame()).await.unwrap().unwrap();
        read += frame.into_data().unwrap().len();
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_read_stops_the_caller() {
    let pair = Pair::new().await;
    let taken: Arc<AtomicUsize> = Arc::default();
    let body = endless(&taken);
    let mut caller = Caller::connect(&pair.front).await;
    let asked = request("POST", "/proxy/svc/later", &pair.stack.token());
    let answered = tokio::spawn(async move { caller.send(asked, body).await });
    let sent = until_it_rests(|| taken.load(Ordering::SeqCst)).await;
    assert!(sent < BOUND, "{sent} bytes were taken from the caller");
    assert!(!answered.is_finished());
    pair.assert_good().await;

    pair.read_on.add_permits(1);
    let response = within(PATIENCE, answered).await.unwrap();
    let body = within(PATIENCE, response.into_body().collect()).await;
    assert_eq!(body.unwrap().to_bytes(), "enough");
    assert!(taken.load(Ordering::SeqCst) >= BOUND);
}

/// A server takes so many streams on a connection, 100 mostly; answers that stream for long need further connections.
#[tokio::test]
async fn more_answers_stream_at_a_time_than_a_connection_takes() {
    let pair = Pair::new().await;
    let token = pair.stack.token();
    let mut open = Vec::new();
    let mut caller = Caller::connect(&pair.front).await;
    for number in 0..250 {
        if number % 50 == 0 {
            caller = Caller::connect(&pair.front).await;
        }
        let asked = request("GET", "/proxy/svc/event", &token);
        let mut response = caller.send(asked, Body::empty()).await;
        assert_eq!(response.status(), 200, "{number}");
        let event = within(PATIENCE, response.frame()).await.unwrap().unwrap();
        assert_eq!(event.into_data().unwrap(), "event");
        open.push(response);
    }
    pair.assert_good().await;
}
