//! The end of a proxy.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use sallygate_test_support::{
    Front, PATIENCE, SOON, Stack, Upstream, Wire, assert_refused, within,
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    outcomes,
    scene::{SHORT, is_served, told},
};

const LONG: Duration = Duration::from_secs(60);

/// A proxy whose upstream sends half of its answer, and the rest once it is let.
async fn half() -> (Stack, Front, sallygate::proxy::Handle, Arc<Semaphore>) {
    let let_go = Arc::new(Semaphore::new(0));
    let wait = let_go.clone();
    let upstream = Upstream::with(move |mut conn| {
        let wait = wait.clone();
        async move {
            while conn.read_request().await.is_some() {
                conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
                    .await;
                tokio::select! {
                    permit = wait.acquire() => permit.unwrap().forget(),
                    () = conn.closed() => return,
                }
                conn.write(b"world").await;
            }
        }
    });
    let stack = Stack::upon(upstream.await).await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    (stack, front, handle, let_go)
}

async fn begin(front: &Front, token: &str) -> (Wire, sallygate_test_support::Answer) {
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", token).bytes()).await;
    let mut answer = wire.head().await;
    assert!(wire.read_body(&mut answer).await);
    (wire, answer)
}

#[tokio::test]
async fn requests_under_way_finish_and_new_ones_are_refused() {
    let (stack, front, handle, let_go) = half().await;
    let token = stack.token();
    let (mut wire, mut answer) = begin(&front, &token).await;
    let mut shutdown = Box::pin(handle.shutdown(LONG));
    assert!(shutdown.as_mut().now_or_never().is_none());

    let refused = front.get("/proxy/svc/b", &token).send().await;
    assert_refused(&refused, 503, "PROXY_STATE_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Who may not come in is told nothing new.
    assert_eq!(front.get("/proxy/svc/b", "x").send().await.status, 401);
    assert!(shutdown.as_mut().now_or_never().is_none());

    let_go.add_permits(1);
    while wire.read_body(&mut answer).await {}
    assert_eq!((answer.text(), answer.complete), ("helloworld", true));
    assert_eq!(within(PATIENCE, shutdown).await, 0);
    assert_eq!(stack.upstream.requests().len(), 1);
    let other = front.get("/proxy/other/a", &token).bytes();
    wire.send(&other).await;
    let refused = wire.answer().await;
    assert_eq!(refused.status, 503);
    let name = "the proxy is shutting down";
    outcomes::report(name, &told(&refused), "shutting down", true, None);
}

#[tokio::test]
async fn what_streams_is_cut_off_when_the_grace_is_over() {
    let (stack, front, handle, _let_go) = half().await;
    let token = stack.token();
    let (mut first, mut answer) = begin(&front, &token).await;
    let (second, _) = begin(&front, &token).await;
    let start = Instant::now();
    let mut shutdown = Box::pin(handle.shutdown(SHORT));
    assert!(shutdown.as_mut().now_or_never().is_none());
    // One that ends in time is not counted.
    drop(second);
    assert_eq!(within(PATIENCE, shutdown).await, 1);
    assert!(start.elapsed() >= SHORT);
    while first.read_body(&mut answer).await {}
    assert_eq!((answer.text(), answer.complete), ("hello", false));
    stack.upstream.until_deserted(SOON).await;
}

#[tokio::test]
async fn a_proxy_at_rest_shuts_down_at_once() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let mut wire = front.connect().await;
    let request = front.get("/proxy/svc/a", &token).bytes();
    assert!(is_served(&mut wire, &request, "hello").await);
    let shutdown = handle.shutdown(LONG);
    assert_eq!(within(SOON, shutdown).await, 0);
    wire.send(&request).await;
    assert_eq!(wire.answer().await.status, 503);
}
