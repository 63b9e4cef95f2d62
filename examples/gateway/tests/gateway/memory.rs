//! Bodies are streamed, whatever their size.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use sallygate_test_support::{PATIENCE, Slot, within};
use tokio::task::spawn_blocking;

use super::TOKEN;
use crate::process::{Gateway, Site};

#[tokio::test]
async fn a_gibibyte_each_way_passes_in_little_memory() {
    const SIZE: usize = 1 << 30;
    const LIMIT_KIB: usize = 32 << 10;
    let site = Site::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let service = site
        .up()
        .replace(&site.upstream.addr.to_string(), &target.to_string());
    let mut command = site.command(&site.file(&service));
    command.env_remove("RUST_LOG");
    let gateway = site.start_command(command).await;
    let token = site.token(TOKEN).await;

    let upstream = thread::spawn(move || {
        let mut lengths = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let (head, length) = read_message(&mut stream);
            lengths.push(length);
            let answer = if head.starts_with("POST ") { 0 } else { SIZE };
            write_message(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close", answer);
        }
        lengths
    });
    let call = |line: &'static str, size| {
        let (address, token) = (gateway.address().to_owned(), token.clone());
        spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = format!("{line} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {token}");
            write_message(&mut stream, &head, size);
            read_message(&mut stream)
        })
    };
    let minutes = Duration::from_secs(180);
    let (head, length) = within(minutes, call("POST /proxy/up/in", SIZE))
        .await
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(length, 0);
    let (head, length) = within(minutes, call("GET /proxy/up/out", 0)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(length, SIZE);
    assert_eq!(upstream.join().unwrap(), [SIZE, 0]);
    let peak = peak(&gateway);
    assert!(peak < LIMIT_KIB, "{peak} KiB");
}

/// The bytes that an upstream sends before its response (RFC 9110 §15.2) are read and dropped.
#[tokio::test]
async fn nothing_is_kept_of_interim_answers() {
    const LIMIT_KIB: usize = 16 << 10;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n".repeat(100);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heads = vec![read_message(&mut stream).0];
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
            .unwrap();
        heads.push(read_message(&mut stream).0);
        let mut flooded = 0;
        while stream.write_all(hints.as_bytes()).is_ok() {
            flooded += hints.len();
        }
        (heads, flooded)
    });
    let site = Site::new().await;
    let service = site
        .up()
        .replace(&site.upstream.addr.to_string(), &target.to_string());
    let file = site.file(&(service + "response_timeout = \"3s\"\n"));
    // Each thread has connections of its own.
    let mut command = site.command(&file.replace("threads = 2", "threads = 1"));
    command.env_remove("RUST_LOG");
    let mut gateway = site.start_command(command).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/good", &token).await.text(), "good");
    let before = peak(&gateway);
    let answer = gateway.get("/proxy/up/fault", &token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "PROXY_TARGET_TIMEOUT")
    );
    let flooded = within(PATIENCE, spawn_blocking(|| upstream.join())).await;
    let (heads, flooded) = flooded.unwrap().unwrap();
    let grown = peak(&gateway) - before;
    eprintln!("{flooded} bytes of interim responses, {grown} KiB of memory");
    assert!(flooded > LIMIT_KIB << 10, "{flooded} bytes are no flood");
    assert!(grown < LIMIT_KIB, "{grown} KiB of {flooded} bytes");
    assert!(gateway.is_running());
    for head in heads {
        let accepted = [Slot::Bearer.show(&site.key)];
        site.oracle.saw_request("up", head.as_bytes(), &accepted);
    }
}

/// The most memory that it has had, in KiB.
fn peak(gateway: &Gateway) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

static PIECE: [u8; 64 << 10] = {
    let mut piece = [0; 64 << 10];
    let mut at = 0;
    while at < piece.len() {
        piece[at] = (at % 251) as u8;
        at += 1;
    }
    piece
};

fn write_message(stream: &mut TcpStream, head: &str, size: usize) {
    write!(stream, "{head}\r\ncontent-length: {size}\r\n\r\n").unwrap();
    for _ in 0..size / PIECE.len() {
        stream.write_all(&PIECE).unwrap();
    }
}

/// Reads a message whose body, of whole pieces, it checks and counts.
fn read_message(stream: &mut TcpStream) -> (String, usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
    let mut piece = vec![0; PIECE.len()];
    for _ in 0..length / PIECE.len() {
        stream.read_exact(&mut piece).unwrap();
        assert!(piece == PIECE, "the body is not what was sent");
    }
    (head, length)
}
