//! An answer whose end is held back.

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sallygate_test_support::Upstream;
use tokio::sync::watch;

use crate::process::{Gateway, Site};

/// The API answers `first`, and `last` once it is told to.
pub(super) async fn site() -> (Site, watch::Sender<()>) {
    let (finish, finished) = watch::channel(());
    let upstream = Upstream::with(move |mut conn| {
        let mut finished = finished.clone();
        async move {
            conn.read_request().await;
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                .await;
            if finished.changed().await.is_ok() {
                conn.write(b"4\r\nlast\r\n0\r\n\r\n").await;
            }
            conn.closed().await;
        }
    });
    (Site::upon(upstream.await), finish)
}

/// An answer of which the beginning is here.
pub(super) async fn begun(gateway: &Gateway, token: &str) -> Response<Incoming> {
    let request = gateway.authorized("GET", "/proxy/up/slow", token);
    let mut answer = gateway.begin(request).await;
    assert_eq!(answer.status(), 200);
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    answer
}
