use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sallygate::{Api, Body, Client, Target};
use sallygate_test_support::{Answer, Authority, Front, Secure, Slot, Stack};
use tokio::{net::TcpStream, sync::Semaphore};

/// A body of these chunks and trailers.
fn body(chunks: &[&'static str], trailers: &[(&'static str, String)]) -> Body {
    let mut fields = HeaderMap::new();
    for (name, value) in trailers {
        fields.append(*name, value.parse().unwrap());
    }
    let mut frames: Vec<Result<Frame<Bytes>, Infallible>> = chunks
        .iter()
        .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))
        .collect();
    if !fields.is_empty() {
        frames.push(Ok(Frame::trailers(fields)));
    }
    Body::new(StreamBody::new(stream::iter(frames)))
}

async fn connect(front: &Front) -> http2::SendRequest<Body> {
    let stream = TokioIo::new(TcpStream::connect(front.addr).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A stack whose `svc` is behind TLS.
async fn secured<F>(protocols: &[&str], answer: F) -> (Stack, Secure, Front)
where
    F: Fn(String) -> Response<Body> + Send + Sync + 'static,
{
    let stack = Stack::new().await;
    let authority = Authority::new();
    let key = stack.secret_key.clone();
    let secure = Secure::new(authority.server("127.0.0.1", protocols), move |_| {
        answer(key.clone())
    })
    .await;
    secure.accept(Slot::Bearer.show(&stack.secret_key));
    let target = Target::new(&format!("https://{}/v1", secure.addr)).unwrap();
    let client = Client::new().add_root_certificates(&authority.pem).unwrap();
    let layer = stack
        .layer_with("svc", Api::bearer(target, stack.key.clone()))
        .client(client);
    let front = stack.serve(layer.into_service()).await;
    (stack, secure, front)
}

#[tokio::test]
async fn http2_on_both_sides_with_trailers_both_ways() {
    let (stack, secure, front) = secured(&["h2", "http/1.1"], |key| {
        let trailers = [
            ("grpc-status", "0".to_owned()),
            ("x-echo", key),
            ("set-cookie", "a=b".into()),
        ];
        Response::builder()
            .header("content-type", "application/grpc")
            .body(body(&["answer", "ed"], &trailers))
            .unwrap()
    })
    .await;
    let token = stack.token();
    let mut sender = connect(&front).await;
    let trailers = [
        ("x-checksum", "1".to_owned()),
        ("x-token", token.clone()),
        ("authorization", "mine".into()),
    ];
    let request = Request::post(format!("http://{}/proxy/svc/pkg.Service/Call", front.addr))
        .header("authorization", format!("Bearer {token}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(body(&["hel", "lo"], &trailers))
        .unwrap();
    let answer = Answer::of(&stack.oracle, sender.send_request(request).await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "answered", true)
    );
    assert_eq!(
        answer.trailers,
        [("grpc-status", "0"), ("x-echo", "[redacted]")].map(|(n, v)| (n.into(), v.into()))
    );
    assert!(answer.header("via").unwrap().starts_with("2.0 sallygate-"));

    let received = secure.last();
    assert_eq!(received.version, Version::HTTP_2);
    assert_eq!(
        received.uri.to_string(),
        format!("https://{}/v1/pkg.Service/Call", secure.addr)
    );
    assert_eq!(received.headers.get("host"), None);
    assert_eq!(received.headers["te"], "trailers");
    assert!(
        received.headers["via"]
            .to_str()
            .unwrap()
            .starts_with("2.0 sallygate-")
    );
    assert_eq!(received.body, b"hello");
    let trailers = received.trailers.unwrap();
    assert_eq!(
        (trailers.len(), &trailers["x-checksum"]),
        (1, &"1".parse().unwrap())
    );
    stack.saw_secure("secure", &secure);
}

#[tokio::test]
async fn each_side_speaks_its_own_version() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let (stack, secure, front) =
            secured(protocols, |_| Response::new(Body::from("secure"))).await;
        let token = stack.token();
        let answer = front
            .request("POST", "/proxy/svc/a?b")
            .token(&token)
            .body("abc")
            .send()
            .await;
        assert_eq!((answer.status, answer.text()), (200, "secure"));
        assert!(
            answer
                .header("via")
                .unwrap()
                .contains(if version == Version::HTTP_2 {
                    "2.0 "
                } else {
                    "1.1 "
                })
        );
        let received = secure.last();
        assert_eq!(
            (received.version, received.body.as_slice()),
            (version, &b"abc"[..])
        );
        assert_eq!(received.uri.path_and_query().unwrap(), "/v1/a?b");

        let mut sender = connect(&front).await;
        let request = Request::get(format!("http://{}/proxy/svc/a", front.addr))
            .header("authorization", format!("Bearer {token}"));
        let response = sender
            .send_request(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(Answer::of(&stack.oracle, response).await.text(), "secure");
        assert_eq!(secure.last().version, version);
        stack.saw_secure("secure", &secure);
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_over_http2_never_looks_complete() {
    let seen = Arc::new(Semaphore::new(0));
    let wait = seen.clone();
    let (stack, secure, front) = secured(&["h2"], move |_| {
        let first = stream::iter([Ok(Bytes::from_static(b"abc"))]);
        let wait = wait.clone();
        let then = stream::once(async move {
            wait.acquire().await.unwrap().forget();
            Err(std::io::Error::other("broken off"))
        });
        Response::new(Body::from_stream(first.chain(then)))
    })
    .await;
    let token = stack.token();
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &token).bytes()).await;
    let mut answer = wire.head().await;
    while answer.body != b"abc" {
        assert!(wire.read_body(&mut answer).await);
    }
    seen.add_permits(1);
    while wire.read_body(&mut answer).await {}
    assert_eq!((answer.status, answer.complete), (200, false));
    assert!(wire.is_closed().await);

    let mut sender = connect(&front).await;
    let request = Request::get(format!("http://{}/proxy/svc/a", front.addr))
        .header("authorization", format!("Bearer {token}"));
    let response = sender
        .send_request(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "abc"
    );
    seen.add_permits(1);
    assert!(body.frame().await.unwrap().is_err());
    secure.until(|requests| requests.len() == 2).await;
    stack.saw_secure("secure", &secure);
}

#[tokio::test]
async fn rejections_over_http2_close_nothing() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let mut sender = connect(&front).await;
    for (target, bearer, expected) in [
        ("/proxy/svc/a", "x", 401),
        ("/proxy/svc/a/../b", &token, 400),
        ("/proxy/svc/a", &token, 200),
        ("/proxy/none/a", &token, 404),
        ("/proxy/svc/b", &token, 200),
    ] {
        let request = Request::get(format!("http://{}{target}", front.addr))
            .header("authorization", format!("Bearer {bearer}"));
        let response = sender
            .send_request(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.headers().get("connection"), None);
        assert_eq!(response.status(), expected, "{target}");
        drop(response.into_body().collect().await.unwrap());
    }
    assert_eq!(stack.upstream.requests().len(), 2);
}

/// An outbound service of the embedder's may make its responses anew, and then they are of HTTP/1.1, whatever they came over.
#[tokio::test]
async fn trailers_behind_a_length_are_cleaned_whatever_version_the_response_says() {
    let stack = Stack::new().await;
    for (version, length) in [
        (Version::HTTP_11, None),
        (Version::HTTP_2, Some("5")),
        (Version::HTTP_11, Some("5")),
    ] {
        let key = stack.secret_key.clone();
        let outbound = tower::service_fn(move |_: Request<Body>| {
            let trailers = [("x-echo", key.clone()), ("set-cookie", "a=b".into())];
            let mut answer = Response::new(body(&["hello"], &trailers));
            *answer.version_mut() = version;
            if let Some(length) = length {
                let length = length.parse().unwrap();
                answer.headers_mut().insert("content-length", length);
            }
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let layer = stack.layer().client(outbound);
        let front = stack.serve(layer.into_service()).await;
        let request = Request::get(format!("http://{}/proxy/svc/a", front.addr))
            .header("authorization", format!("Bearer {}", stack.token()))
            .body(Body::empty())
            .unwrap();
        let answer = connect(&front).await.send_request(request).await.unwrap();
        let answer = Answer::of(&stack.oracle, answer).await;
        assert_eq!(answer.text(), "hello");
        let cleaned = [("x-echo".to_owned(), "[redacted]".to_owned())];
        assert_eq!(answer.trailers, cleaned, "{version:?} {length:?}");
    }
}
