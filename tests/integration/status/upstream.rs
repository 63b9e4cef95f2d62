use std::time::Duration;

use http::Response;
use sallygate::{
    Api, Body, Client, Credential, Target,
    door::{Code, Reason},
    upstream::UpstreamError,
};
use sallygate_test_support::{Answer, Authority, Reply, Secure, Slot, Stack, Upstream};
use tokio::net::TcpListener;

use super::{Row, assert_row, assert_serves, request};

const ERROR: Row = Row::new(
    502,
    Code::TargetError,
    "The upstream could not be reached: svc",
    &[],
);
const LATE: Row = Row::new(
    504,
    Code::TargetTimeout,
    "The upstream did not answer in time: svc",
    &[],
);

fn assert_failed(answer: &Answer, row: &Row, kind: UpstreamError) {
    let rejection = assert_row(answer, row);
    assert!(
        matches!(rejection.reason(), Reason::Upstream(given) if *given == kind),
        "{rejection:?}"
    );
    assert!(!answer.text().contains("127.0.0.1"));
}

/// Asks for something of a target, and expects that no answer comes.
async fn fails(stack: &Stack, target: &str, client: Client, row: &Row, kind: UpstreamError) {
    let target = Target::new(target)
        .or_else(|_| Target::dangerous_plaintext(target))
        .unwrap();
    let service = Api::bearer(target, stack.key.clone());
    let layer = stack.layer_with("svc", service).client(client);
    let answer = stack
        .call(
            layer.into_service(),
            request("GET", "/proxy/svc/a", &stack.token()),
        )
        .await;
    assert_failed(&answer, row, kind);
}

#[tokio::test]
async fn nobody_listens() {
    let stack = Stack::new().await;
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    fails(
        &stack,
        &format!("http://{free}"),
        Client::new(),
        &ERROR,
        UpstreamError::Connect,
    )
    .await;
    fails(
        &stack,
        &format!("https://{free}"),
        Client::new(),
        &ERROR,
        UpstreamError::Connect,
    )
    .await;
    assert_serves(&stack).await;
}

#[tokio::test]
async fn the_connection_ends_before_the_answer() {
    let closing = Upstream::with(|mut conn| async move {
        conn.read_request().await;
    })
    .await;
    let resetting = Upstream::with(|mut conn| async move {
        conn.read_request().await;
        conn.reset();
    })
    .await;
    let half =
        Upstream::scripted(|_| Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-le".into()))
            .await;
    for upstream in [closing, resetting, half] {
        let stack = Stack::upon(upstream).await;
        let url = format!("http://{}/v1", stack.upstream.addr);
        fails(&stack, &url, Client::new(), &ERROR, UpstreamError::Closed).await;
        assert_eq!(stack.upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn answers_that_are_no_http_or_could_be_read_in_two_ways() {
    for answer in [
        "220 mail.test ESMTP\r\n\r\n",
        "HTTP/1.1 two OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let stack = Stack::answering(move |_| Reply::BytesThenClose(answer.into())).await;
        let layer = stack.layer();
        let asked = request("GET", "/proxy/svc/a", &stack.token());
        let got = stack.call(layer.into_service(), asked).await;
        assert_eq!(got.status, 502, "{answer}");
        assert_failed(&got, &ERROR, UpstreamError::Broken);
    }
    let stack = Stack::answering(|_| {
        Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".into())
    })
    .await;
    let answer = stack
        .call(
            stack.layer().into_service(),
            request("GET", "/proxy/svc/a", &stack.token()),
        )
        .await;
    assert_eq!((answer.status, answer.text()), (200, "abc"));
}

#[tokio::test]
async fn no_answer_in_time() {
    let stack = Stack::answering(|_| Reply::Silence).await;
    let url = format!("http://{}/v1", stack.upstream.addr);
    let hasty = Client::new().response_timeout(Duration::from_millis(100));
    fails(&stack, &url, hasty, &LATE, UpstreamError::Timeout).await;
    stack.upstream.until_deserted(Duration::from_secs(5)).await;

    // TCP is up, TLS never comes.
    let silent = Upstream::with(|mut conn| async move { conn.closed().await }).await;
    let url = format!("https://{}", silent.addr);
    let hasty = Client::new().connect_timeout(Duration::from_millis(100));
    fails(&stack, &url, hasty, &LATE, UpstreamError::Timeout).await;
    silent.until_deserted(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn tls_to_a_port_without_it() {
    let plain = Upstream::with(|mut conn| async move {
        conn.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await;
        conn.closed().await;
    })
    .await;
    let stack = Stack::new().await;
    let url = format!("https://{}", plain.addr);
    fails(&stack, &url, Client::new(), &ERROR, UpstreamError::Tls).await;
    assert_serves(&stack).await;
}

#[tokio::test]
async fn plaintext_to_a_port_with_tls() {
    let stack = Stack::new().await;
    let authority = Authority::new();
    let secure = Secure::new(authority.server("127.0.0.1", &[]), |_| {
        Response::new(Body::from("secure"))
    })
    .await;
    secure.accept(Slot::Bearer.show(&stack.secret_key));
    let target = Target::dangerous_plaintext(&format!("http://{}", secure.addr)).unwrap();
    let layer = stack.layer_with("svc", Api::bearer(target, stack.key.clone()));
    let answer = stack
        .call(
            layer.into_service(),
            request("GET", "/proxy/svc/a", &stack.token()),
        )
        .await;
    let rejection = assert_row(&answer, &ERROR);
    assert!(matches!(rejection.reason(), Reason::Upstream(_)));
    assert!(secure.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_never_accepted() {
    let stack = Stack::new().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let secure = |name: &'static str| {
        let tls = authority.server(name, &["h2", "http/1.1"]);
        Secure::new(tls, |_| Response::new(Body::from("secure")))
    };
    let (right, wrong) = (secure("127.0.0.1").await, secure("elsewhere.test").await);
    for upstream in [&right, &wrong] {
        upstream.accept(Slot::Bearer.show(&stack.secret_key));
    }
    let url = |upstream: &Secure| format!("https://{}/v1", upstream.addr);
    let trusting =
        |authority: &Authority| Client::new().add_root_certificates(&authority.pem).unwrap();

    fails(
        &stack,
        &url(&right),
        Client::new(),
        &ERROR,
        UpstreamError::Tls,
    )
    .await;
    fails(
        &stack,
        &url(&right),
        trusting(&stranger),
        &ERROR,
        UpstreamError::Tls,
    )
    .await;
    fails(
        &stack,
        &url(&wrong),
        trusting(&authority),
        &ERROR,
        UpstreamError::Tls,
    )
    .await;
    assert!(right.requests.lock().unwrap().is_empty() && wrong.requests.lock().unwrap().is_empty());

    let service = Api::bearer(Target::new(&url(&right)).unwrap(), stack.key.clone());
    let layer = stack
        .layer_with("svc", service)
        .client(trusting(&authority));
    let answer = stack
        .call(
            layer.into_service(),
            request("GET", "/proxy/svc/a", &stack.token()),
        )
        .await;
    assert_eq!((answer.status, answer.text()), (200, "secure"));
    stack.saw_secure("secure", &right);
    stack.saw_secure("wrong name", &wrong);
}

/// A target that is the proxy itself: the second time round, it is recognized.
#[tokio::test]
async fn a_proxy_that_is_its_own_upstream_stops_at_once() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let inner = stack.watched(stack.issuer.issue("inner").sign().unwrap());
    let own = Target::dangerous_plaintext(&format!("http://{}/proxy/me", front.addr)).unwrap();
    handle
        .set_service("me", Api::bearer(own, Credential::new(inner).unwrap()))
        .unwrap();
    let answer = front.get("/proxy/me/a", &stack.token()).send().await;
    // It has passed the proxy as the response of an upstream.
    assert_eq!((answer.status, &*answer.code()), (508, "PROXY_LOOP"));
    assert_eq!(
        front
            .get("/proxy/svc/a", &stack.token())
            .send()
            .await
            .status,
        200
    );
}
