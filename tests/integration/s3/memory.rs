//! Uploads are streamed, whatever their size: a proxy in a process of its own is measured.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use sallygate::{Credential, Issuer, JwtVerifier, ProxyLayer, Target, service::S3};

use super::{REGION, serve::serve, signed};

const PARTS: usize = 16;
const PART: usize = 64 << 20;
const CHUNK: usize = 1 << 20;
const AT_ONCE: usize = 4;
const LIMIT_KIB: usize = 64 << 10;

/// Tells the other process where the server is that it should stand before.
const UPSTREAM: &str = "SALLYGATE_TEST_S3_UPSTREAM";
const SECRET: [u8; 32] = [7; 32];

/// What the test below starts as a process of its own; nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_for_another_process() {
    let Ok(upstream) = env::var(UPSTREAM) else {
        return;
    };
    let target = Target::dangerous_plaintext(&format!("http://{upstream}")).unwrap();
    let s3 = S3::new(target, REGION, Credential::new("id:secret").unwrap()).unwrap();
    let s3 = s3
        .buckets(["reports"])
        .unwrap()
        .prefix("tenants/acme/")
        .unwrap();
    let layer = ProxyLayer::new("/proxy", JwtVerifier::hs256(SECRET).unwrap()).unwrap();
    let layer = layer.service("s3", s3).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // On standard error: the other stream has the words of the test runner before it.
    eprintln!("listening on {}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, None, layer.into_service()));
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await.unwrap().unwrap();
    server.abort();
}

#[test]
fn a_gibibyte_in_parts_is_signed_anew_in_little_memory() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in upstream.incoming() {
            let (stream, sender) = (stream.unwrap(), sender.clone());
            thread::spawn(move || receive(stream, &sender));
        }
    });
    let mut proxy = Command::new(env::current_exe().unwrap())
        .args([
            "s3::memory::a_proxy_for_another_process",
            "--exact",
            "--nocapture",
        ])
        .env(UPSTREAM, address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(proxy.stderr.take().unwrap()).lines();
    let address: SocketAddr = lines
        .find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok())
        .expect("the proxy listens");

    let issuer = Issuer::hs256(SECRET).unwrap().clock(SystemTime::now);
    let token = issuer.issue("box").sign().unwrap();
    let began = SystemTime::now();
    let uploads = (0..AT_ONCE).map(|first| {
        let token = token.clone();
        thread::spawn(move || {
            for part in (first..PARTS).step_by(AT_ONCE) {
                upload(address, part + 1, &token);
            }
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        upload.join().unwrap();
    }
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: usize = peak.split_whitespace().next().unwrap().parse().unwrap();
    drop(proxy.stdin.take());
    assert!(proxy.wait().unwrap().success());

    let mut parts: Vec<_> = received.try_iter().collect();
    parts.sort_unstable();
    let all: Vec<_> = (1..=PARTS).map(|part| (part, PART)).collect();
    assert_eq!(parts, all);
    assert!(peak < LIMIT_KIB, "{peak} KiB");
    assert!(began.elapsed().unwrap() < Duration::from_secs(180));
}

static PIECE: LazyLock<Vec<u8>> = LazyLock::new(|| (0..CHUNK).map(|at| (at % 251) as u8).collect());

/// Uploads one part in signed chunks with a trailer.
fn upload(proxy: SocketAddr, number: usize, token: &str) {
    let signature = "0".repeat(64);
    let head = format!("{CHUNK:x};chunk-signature={signature}\r\n");
    let end = format!(
        "0;chunk-signature={signature}\r\nx-amz-checksum-crc32:AAAAAA==\r\n\
         x-amz-trailer-signature:{signature}\r\n\r\n"
    );
    let length = PART / CHUNK * (head.len() + CHUNK + 2) + end.len();
    let mut stream = TcpStream::connect(proxy).unwrap();
    write!(
        stream,
        "PUT /proxy/s3/reports/tenants/acme/big?partNumber={number}&uploadId=1 HTTP/1.1\r\nhost: gate\r\n\
         authorization: {}\r\nx-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\r\n\
         x-amz-decoded-content-length: {PART}\r\nx-amz-trailer: x-amz-checksum-crc32\r\n\
         content-encoding: aws-chunked\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n",
        signed(token)
    )
    .unwrap();
    for _ in 0..PART / CHUNK {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&PIECE).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(end.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Takes parts on one connection, and says which and how long; their content is checked on the way.
fn receive(stream: TcpStream, received: &mpsc::Sender<(usize, usize)>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap() == 0 {
                return;
            }
        }
        let number = head
            .split("partNumber=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        assert!(head.contains("\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"));
        let length = head
            .split("\r\ncontent-length: ")
            .nth(1)
            .expect("a length")
            .lines()
            .next();
        let mut left: usize = length.unwrap().parse().unwrap();
        let (mut data, mut chunk) = (0, Vec::new());
        loop {
            let mut line = String::new();
            left -= reader.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if size == 0 {
                break;
            }
            chunk.resize(size + 2, 0);
            reader.read_exact(&mut chunk).unwrap();
            left -= chunk.len();
            assert!(
                chunk[..size] == PIECE[data % CHUNK..][..size],
                "not what was sent"
            );
            data += size;
        }
        let mut end = vec![0; left];
        reader.read_exact(&mut end).unwrap();
        assert_eq!(end, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        received.send((number.parse().unwrap(), data)).unwrap();
        writer
            .write_all(b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
    }
}
