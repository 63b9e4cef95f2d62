//! HTTP/1.1 and HTTP/2, plain and over TLS, in every combination, and the programs that speak them.

use std::{
    convert::Infallible,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use sallygate::{Api, Body, Client, Target};
use sallygate_test_support::{
    Authority, PATIENCE, Reply, Server, Stack, assert_refused, output, program,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::caller::{Caller, request};

/// A body with this text and these trailers.
fn with_trailers(text: &'static str, trailers: &[(&'static str, &str)]) -> Body {
    let mut fields = HeaderMap::new();
    for (name, value) in trailers {
        fields.append(*name, value.parse().unwrap());
    }
    let frames = [
        Frame::data(Bytes::from_static(text.as_bytes())),
        Frame::trailers(fields),
    ];
    Body::new(StreamBody::new(stream::iter(
        frames.map(Ok::<_, Infallible>),
    )))
}

type Received = Arc<Mutex<Vec<(Version, HeaderMap, String, HeaderMap)>>>;

/// An upstream that keeps what it got, and answers with trailers.
async fn upstream(authority: Option<&Authority>) -> (Server, Received) {
    let received = Received::default();
    let keep = received.clone();
    let tls = authority.map(|authority| authority.server("127.0.0.1", &["h2", "http/1.1"]));
    let respond = move |request: Request<Incoming>| {
        let keep = keep.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap_or_default();
            let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            let mut got = keep.lock().unwrap();
            got.push((parts.version, parts.headers, text, trailers));
            let trailers = [("grpc-status", "0"), ("set-cookie", "a=b")];
            Response::builder()
                .header("trailer", "grpc-status")
                .body(with_trailers("answer", &trailers))
                .unwrap()
        }
    };
    (Server::answering(tls, respond).await, received)
}

#[tokio::test]
async fn http2_in_and_out_with_and_without_tls_and_trailers_both_ways() {
    for (tls_in, tls_out) in [(false, false), (false, true), (true, false), (true, true)] {
        let stack = Stack::new().await;
        let authority = Authority::new();
        let (server, received) = upstream(tls_out.then_some(&authority)).await;
        let target = match tls_out {
            true => Target::new(&format!("https://{}", server.addr)).unwrap(),
            false => Target::dangerous_plaintext(&format!("http://{}", server.addr))
                .unwrap()
                .http2_prior_knowledge(),
        };
        let trusting = Client::new().add_root_certificates(&authority.pem).unwrap();
        let service = Api::bearer(target, stack.key.clone());
        let layer = stack.layer_with("svc", service).client(trusting);
        let tls = tls_in.then(|| authority.server("127.0.0.1", &["h2", "http/1.1"]));
        let front = Server::start(tls, layer.into_service()).await;

        let stream = TcpStream::connect(front.addr).await.unwrap();
        let mut caller = match tls_in {
            false => Caller::over(stream).await,
            true => Caller::over(over_tls(stream, &authority).await).await,
        };
        for number in 1..=3 {
            let asked = request("POST", "/proxy/svc/a", &stack.token()).header("te", "trailers");
            let trailers = [("x-sum", "7"), ("authorization", "evil"), ("cookie", "a=b")];
            let body = with_trailers("question", &trailers);
            let answer = caller.call(&stack.oracle, asked, body).await;
            assert_eq!((answer.status, answer.text()), (200, "answer"));
            assert_eq!(answer.trailers, [("grpc-status".into(), "0".into())]);
            let received = received.lock().unwrap();
            let (version, headers, text, trailers) = received.last().unwrap();
            assert_eq!((received.len(), *version), (number, Version::HTTP_2));
            assert_eq!(
                headers["authorization"],
                format!("Bearer {}", stack.secret_key)
            );
            assert_eq!(headers["te"], "trailers");
            assert_eq!(text, "question");
            assert_eq!(trailers.len(), 1);
            assert_eq!(trailers["x-sum"], "7");
        }
    }
}

async fn over_tls(
    stream: TcpStream,
    authority: &Authority,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

/// A server that does not speak HTTP/2 is no danger, and no help, if it is said to.
#[tokio::test]
async fn prior_knowledge_that_is_wrong_is_an_upstream_error() {
    let stack = Stack::new().await;
    let service = Api::bearer(stack.target().http2_prior_knowledge(), stack.key.clone());
    let front = stack.serve(stack.layer_with("svc", service).into_service());
    let front = front.await;
    let token = stack.token();
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
    assert_eq!(
        front.get("/proxy/other/a", &token).send().await.text(),
        "other"
    );
}

async fn run(mut command: Command, stack: &Stack) -> Output {
    let output = output(command.env("NO_PROXY", "*"), PATIENCE).await;
    stack
        .oracle
        .saw("output of a program", output.stdout.clone());
    output
}

/// Several requests on one connection; what `curl` says of each is its status and the version of HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_speaks_every_version_to_it() {
    let Some(curl) = program("curl") else { return };
    let curl = curl.get_program().to_owned();
    let stack = Stack::answering(|request| Reply::ok(&request.body)).await;
    let token = stack.token();
    let layer = stack.layer();
    let authority = Authority::new();
    let plain = Server::start(None, layer.clone().into_service()).await;
    let acceptor = authority.server("127.0.0.1", &["h2", "http/1.1"]);
    let secure = Server::start(Some(acceptor), layer.into_service()).await;
    for (flag, url, version) in [
        ("--http1.1", format!("http://{}", plain.addr), "1.1"),
        // It asks for a change of protocol, and stays with HTTP/1.1 where there is none.
        ("--http2", format!("http://{}", plain.addr), "1.1"),
        (
            "--http2-prior-knowledge",
            format!("http://{}", plain.addr),
            "2",
        ),
        ("--http2", format!("https://{}", secure.addr), "2"),
        ("--http1.1", format!("https://{}", secure.addr), "1.1"),
    ] {
        let before = stack.upstream.requests().len();
        let mut command = Command::new(&curl);
        command
            .args(["-sS", "--insecure", flag, "--data", "a=b"])
            .args(["-w", " %{http_code} %{http_version} %{num_connects}\n"])
            .args(["-H", &format!("authorization: Bearer {token}")])
            .arg(format!("{url}/proxy/svc/1"));
        let mut expected = format!("a=b 200 {version} 1\n");
        // With prior knowledge, curl 7.88 begins anew on a connection that has begun, whatever the server.
        let again = flag != "--http2-prior-knowledge";
        if again {
            command.arg(format!("{url}/proxy/svc/2"));
            expected += &format!("a=b 200 {version} 0\n");
        }
        let output = run(command, &stack).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, expected, "{flag} {url}: {output:?}");
        let requests = stack.upstream.requests().split_off(before);
        assert_eq!(requests.len(), 1 + usize::from(again));
        for request in requests {
            assert!(request.authorized && request.body == b"a=b");
            assert!(!request.has("upgrade") && !request.has("http2-settings"));
            assert!(!request.has("connection"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nghttp_is_answered_on_many_streams_of_one_connection() {
    let Some(mut nghttp) = program("nghttp") else {
        return;
    };
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let url = |number: usize| format!("http://{}/proxy/svc/{number}", front.addr);
    nghttp
        .args(["--multiply=3", "--stat"])
        .arg(format!("--header=authorization: Bearer {token}"))
        .args((0..20).map(url));
    let output = run(nghttp, &stack).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.matches("hello").count(), 60, "{said}");
    assert_eq!(said.matches(" 200 ").count(), 60, "{said}");
    assert_eq!(stack.upstream.requests().len(), 60);

    let Some(mut nghttp) = program("nghttp") else {
        return;
    };
    nghttp.args(["--header=authorization: Bearer x", "--stat", &url(0)]);
    let output = run(nghttp, &stack).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("PROXY_TOKEN_INVALID"), "{said}");
}
