//! Routing by the name of the host: what the same request means to two readers.

use sallygate_test_support::{Front, PATIENCE, Reply, Stack, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn by_host(stack: &Stack) -> Front {
    let layer = stack
        .layer()
        .host("svc.test", "svc")
        .unwrap()
        .host_suffix("proxy.test")
        .unwrap();
    stack.serve(layer.into_service()).await
}

/// A GET whose pseudo-headers are written as they are; gives what came back, in frames.
async fn over_http2(front: &Front, method: &str, authority: &str, path: &str, token: &str) {
    fn text(block: &mut Vec<u8>, text: &str) {
        let length = text.len();
        if length < 127 {
            block.push(length as u8);
        } else {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend_from_slice(text.as_bytes());
    }
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        [head, payload.to_vec()].concat()
    }
    let mut block = Vec::new();
    for (name, value) in [
        (":method", method),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
        ("authorization", &format!("Bearer {token}")),
    ] {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 0b101, 1, &block),
    ]
    .concat();
    let mut stream = TcpStream::connect(front.addr).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    // Until the stream has ended: HEADERS or DATA with END_STREAM, RST_STREAM, GOAWAY, or the end.
    let ended = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            let of_stream = head[8] == 1;
            if of_stream && (head[3] == 3 || (head[3] < 2 && head[4] & 1 == 1)) || head[3] == 7 {
                return;
            }
        }
    };
    within(PATIENCE, ended).await;
}

#[tokio::test]
async fn a_path_without_a_slash_does_not_leave_the_base_path() {
    let stack = Stack::new().await;
    let front = by_host(&stack).await;
    let token = stack.token();
    over_http2(&front, "GET", "svc.test", "/a?b", &token).await;
    assert_eq!(stack.upstream.last().line(), "GET /v1/a?b HTTP/1.1");
    for (method, path) in [
        ("GET", "0/secret"),
        ("GET", "*"),
        ("OPTIONS", "*"),
        ("GET", "evil.test/"),
        ("GET", "?x"),
        ("GET", ":80@evil.test/"),
    ] {
        over_http2(&front, method, "svc.test", path, &token).await;
        over_http2(&front, method, "svc.proxy.test", path, &token).await;
    }
    let star = front.request("OPTIONS", "*").token(&token);
    let star = star.bytes();
    let star = String::from_utf8(star).unwrap();
    let mut wire = front.connect().await;
    wire.send(star.replace("gate.test", "svc.test")).await;
    let answer = wire.answer().await;
    let lines: Vec<_> = stack.upstream.requests();
    let outside = lines.iter().map(|request| request.line().to_owned());
    let outside: Vec<_> = outside
        .filter(|line| {
            !line.contains(" /v1/") && !line.contains(" /v1 ") && !line.contains(" /v1?")
        })
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_host_that_could_be_read_in_two_ways_reaches_nobody() {
    let stack = Stack::new().await;
    let front = by_host(&stack).await;
    let token = stack.token();
    let ask = async |target: &str, hosts: &[&str]| {
        let mut bytes = format!("GET {target} HTTP/1.1\r\nauthorization: Bearer {token}\r\n");
        for host in hosts {
            bytes += &format!("host: {host}\r\n");
        }
        let mut wire = front.connect().await;
        wire.send(bytes + "\r\n").await;
        wire.answer().await.status
    };
    // The request target counts, whatever `Host` says (RFC 9112 §3.2.2).
    for (target, host) in [
        ("/a", "svc.test"),
        ("/a", "SVC.Test.:8080"),
        ("/a", "svc.proxy.test"),
        ("http://svc.test/a", "other.proxy.test"),
        ("http://svc.test:81/a", "elsewhere.test"),
    ] {
        let before = stack.upstream.requests().len();
        assert_eq!(ask(target, &[host]).await, 200, "{target} {host}");
        assert_eq!(stack.upstream.requests().len(), before + 1);
        assert_eq!(stack.upstream.last().line(), "GET /v1/a HTTP/1.1");
    }
    let sent = stack.upstream.requests().len();
    for (target, hosts) in [
        ("/a", &["svc.test", "other.proxy.test"][..]),
        ("/a", &["other.proxy.test", "svc.test"]),
        ("/a", &["svc.test, other.proxy.test"]),
        ("/a", &["svc.test@elsewhere.test"]),
        ("/a", &["elsewhere.test@svc.test"]),
        ("/a", &["svc.test:80:80"]),
        ("/a", &["svc.test:x"]),
        ("/a", &["svc.test/x"]),
        ("/a", &["svc.test%00"]),
        ("/a", &["svc%2etest"]),
        ("/a", &["\u{ff53}vc.test"]),
        ("/a", &["evil.svc.test"]),
        ("/a", &["svc.test.evil.test"]),
        ("/a", &["svc_proxy.test"]),
        ("/a", &[]),
        ("http://x@svc.test/a", &["svc.test"]),
        ("http://x:y@svc.test/a", &["elsewhere.test"]),
        ("http://svc.test@elsewhere.test/a", &["svc.test"]),
        ("ftp://svc.test/a", &["svc.test"]),
        ("//svc.test/a", &["elsewhere.test"]),
    ] {
        let status = ask(target, hosts).await;
        assert_eq!(status, 400, "{target} {hosts:?}");
        assert_eq!(
            (
                stack.upstream.requests().len(),
                stack.other.requests().len()
            ),
            (sent, 0),
            "{target} {hosts:?}"
        );
    }
    over_http2(&front, "GET", "x@svc.test", "/a", &token).await;
    over_http2(&front, "GET", "x@svc.proxy.test", "/a", &token).await;
    assert_eq!(stack.upstream.requests().len(), sent, "user information");
}

#[tokio::test]
async fn under_a_host_of_its_own_a_service_leads_to_no_other() {
    let stack = Stack::new().await;
    let front = by_host(&stack).await;
    let token = stack.token();
    let mut wire = front.connect().await;
    let request = front.get("/proxy/other/a", &token).bytes();
    let request = String::from_utf8(request).unwrap();
    wire.send(request.replace("gate.test", "svc.proxy.test"))
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(
        stack.upstream.last().line(),
        "GET /v1/proxy/other/a HTTP/1.1"
    );
    assert!(stack.other.requests().is_empty());
}

#[tokio::test]
async fn at_a_host_of_its_own_no_path_becomes_another_host() {
    let stack = Stack::answering(|request| {
        let own = request.values("host")[0].to_owned();
        Reply::response(
            &format!(
                "307 Temporary Redirect\nlocation: http://{own}/v1//evil.test/a\n\
                 content-location: /v1//evil.test/a\nlink: </v1//evil.test/a>; rel=next\n\
                 x-kept: yes"
            ),
            "",
        )
    })
    .await;
    let front = by_host(&stack).await;
    let request = front.get("/a", &stack.token()).bytes();
    let request = String::from_utf8(request).unwrap();
    let mut wire = front.connect().await;
    wire.send(request.replace("gate.test", "svc.test")).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("x-kept")), (307, Some("yes")));
    for name in ["location", "content-location", "link"] {
        let value = answer.header(name).unwrap_or_default();
        let reference = value.trim_start_matches('<');
        assert!(!reference.starts_with("//"), "{name}: {value}");
    }
}
