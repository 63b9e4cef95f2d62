//! `revoked`: tokens that the gateway is told not to take any more, while it runs.

use std::{fs, io::Write};

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sallygate_test_support::{
    PATIENCE,
    websocket::{Io, POLICY_VIOLATION, Server, ask, exchange, handshake_at, rest},
    within,
};
use tokio::net::TcpStream;

use super::{
    TOKEN,
    held_back::{self, begun},
    refusals::refused,
    traffic::sockets,
};
use crate::process::{Gateway, Site};

const READ_AGAIN: &str = "gateway.toml: read again";

impl Site {
    /// A file with these services that names `revoked.txt`.
    fn revoking(&self, services: &str) -> String {
        self.file(&format!("revoked = \"revoked.txt\"\n{services}"))
    }

    /// Adds a line to `revoked.txt`.
    fn revoke(&self, line: &str) {
        let file = fs::OpenOptions::new()
            .append(true)
            .open(self.folder.join("revoked.txt"));
        writeln!(file.unwrap(), "{line}").unwrap();
    }

    async fn token_of(&self, sandbox: &str) -> String {
        self.token(&["--sandbox", sandbox]).await
    }
}

async fn assert_refused(site: &Site, gateway: &Gateway, token: &str) {
    let before = site.upstream.requests().len();
    let answer = gateway.get("/proxy/up/a", token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "PROXY_TOKEN_INVALID")
    );
    assert_eq!(site.upstream.requests().len(), before);
}

async fn assert_taken(gateway: &Gateway, token: &str) {
    let answer = gateway.get("/proxy/up/a", token).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}

/// Who has a stream and a socket open.
struct Caller {
    token: String,
    stream: Response<Incoming>,
    socket: (TcpStream, Io),
}

impl Caller {
    async fn new(gateway: &Gateway, server: &mut Server, token: String) -> Self {
        let fields = format!("Authorization: Bearer {token}\r\n");
        let request = handshake_at("/proxy/ws/chat", &fields);
        let (answer, near) = ask(gateway.address().parse().unwrap(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let (_, far) = server.next().await;
        let mut caller = Self {
            stream: begun(gateway, &token).await,
            token,
            socket: (near, far),
        };
        caller.goes_on().await;
        caller
    }

    async fn goes_on(&mut self) {
        exchange(&mut self.socket.0, &mut self.socket.1).await;
    }

    async fn ends(mut self) {
        assert_eq!(rest(&mut self.socket.0).await, POLICY_VIOLATION.0);
        assert_eq!(rest(&mut self.socket.1).await, POLICY_VIOLATION.1);
        assert!(within(PATIENCE, self.stream.collect()).await.is_err());
    }
}

#[tokio::test]
async fn what_is_added_to_the_file_is_refused_and_cut_off_and_nothing_else_is() {
    let (site, finish) = held_back::site().await;
    let mut server = Server::switching("").await;
    site.write("revoked.txt", "# by hand\n\nsandbox box-0\r\n");
    let file = site.revoking(&(site.up() + &sockets(&site, &server)));
    let gateway = site.start(&file).await;
    assert_refused(&site, &gateway, &site.token_of("box-0").await).await;

    let mut callers = Vec::new();
    for options in [
        &["--sandbox", "box-1"][..],
        &["--sandbox", "box-2", "--session", "run-7"],
        &["--sandbox", "box-2", "--session", "run-8", "--id", "id-1"],
        &["--sandbox", "box-2", "--session", "run-8", "--id", "id-2"],
    ] {
        let token = site.token(options).await;
        callers.push(Caller::new(&gateway, &mut server, token).await);
    }
    let lines = ["sandbox box-1", "session box-2 run-7", "token id-1"];
    for (times, line) in (1..).zip(lines) {
        site.revoke(line);
        site.write("gateway.toml", &file);
        gateway.signal("HUP");
        gateway.until_said_times(READ_AGAIN, times).await;
        let concerned = callers.remove(0);
        assert_refused(&site, &gateway, &concerned.token).await;
        concerned.ends().await;
        for other in &mut callers {
            other.goes_on().await;
        }
    }
    // Nor are those any better that are issued later.
    assert_refused(&site, &gateway, &site.token_of("box-1").await).await;
    finish.send(()).unwrap();
    let last = callers.remove(0).stream.collect().await.unwrap();
    assert_eq!(last.to_bytes(), "last");
}

#[tokio::test]
async fn what_is_taken_out_of_the_file_stays_revoked_until_a_restart() {
    let site = Site::new().await;
    let (without, with) = (site.file(&site.up()), site.revoking(&site.up()));
    let (box_1, box_2) = (site.token_of("box-1").await, site.token_of("box-2").await);
    let gateway = site.start(&without).await;
    assert_taken(&gateway, &box_1).await;

    // The gateway need not know of the file from the start.
    site.write("revoked.txt", "sandbox box-1\n");
    for (times, file) in [(1, &with), (2, &without), (3, &with)] {
        site.write("gateway.toml", file);
        gateway.signal("HUP");
        gateway.until_said_times(READ_AGAIN, times).await;
        assert_refused(&site, &gateway, &box_1).await;
        assert_taken(&gateway, &box_2).await;
        site.write("revoked.txt", "");
    }
    drop(gateway);
    let gateway = site.start(&with).await;
    assert_taken(&gateway, &box_1).await;
}

#[tokio::test]
async fn a_list_that_is_wrong_changes_nothing_and_is_said() {
    let site = Site::new().await;
    let (box_0, box_1) = (site.token_of("box-0").await, site.token_of("box-1").await);
    site.write("revoked.txt", "sandbox box-0\n");
    let gateway = site.start(&site.revoking(&site.up())).await;
    let new = site.up() + &site.up().replace("services.up", "services.new");
    site.write("gateway.toml", &site.revoking(&new));
    let list = site.folder.join("revoked.txt");
    let kept = "; everything stays as it was";
    for (times, (text, said)) in (1..).zip([
        (format!("sandbox box-1\n{}\n", site.key), "(line 2: not so)"),
        ("sandbox box-1\nsandbox box-1 \n".into(), "(line 2: not so)"),
        (
            format!("sandbox box-1\n\ntoken {}\n", "a".repeat(257)),
            "(line 3: claims: the token id is not 1 to 256 printable bytes)",
        ),
        (String::new(), "revoked.txt: no such file)"),
    ]) {
        match text.as_str() {
            "" => fs::remove_file(&list).unwrap(),
            text => fs::write(&list, text).unwrap(),
        }
        gateway.signal("HUP");
        gateway.until_said_times(kept, times).await;
        gateway.until_said("token.revoked: expected a file").await;
        gateway.until_said(&format!("{said}{kept}")).await;
        assert_refused(&site, &gateway, &box_0).await;
        assert_taken(&gateway, &box_1).await;
        assert_eq!(gateway.get("/proxy/new/a", &box_1).await.status, 404);
    }
    site.write("revoked.txt", "sandbox box-1\n");
    gateway.signal("HUP");
    gateway.until_said(READ_AGAIN).await;
    assert_refused(&site, &gateway, &box_1).await;
    let box_2 = site.token_of("box-2").await;
    assert_eq!(gateway.get("/proxy/new/a", &box_2).await.status, 200);
}

#[tokio::test]
async fn without_its_list_the_gateway_does_not_start() {
    let site = Site::new().await;
    let file = site.revoking(&site.up());
    let name = "revoked = \"revoked.txt\"";
    let lines = "token.revoked: expected a file with `sandbox ID`, `session SANDBOX ID` or `token ID` in each line, ids without blanks";
    let missing = site.folder.join("revoked.txt").display().to_string();
    let unreadable = "token.revoked: expected a file that can be read";
    let said = format!("{unreadable} ({missing}: no such file)");
    refused(&site, &file, name, name, &said).await;
    // Tokens are issued all the same.
    let token = site.token_for(&file, TOKEN).await;

    site.write("revoked.txt", "");
    for (new, said) in [
        ("revoked = 7", "token.revoked: expected the path of a file"),
        (
            "revoked = [\"box-1\"]",
            "token.revoked: expected the path of a file",
        ),
        ("revoked = \".\"", unreadable),
    ] {
        refused(&site, &file, name, new, said).await;
    }
    let key = &site.key;
    for (text, said) in [
        (key.as_str(), "line 1: not so"),
        ("\nbox-1", "line 2: not so"),
        ("# box-1\n# box-2\nSandbox box-1", "line 3: not so"),
        ("sandbox", "line 1: not so"),
        (
            "sandbox ",
            "line 1: claims: the sandbox id is not 1 to 256 printable bytes",
        ),
        ("sandbox  box-1", "line 1: not so"),
        (" sandbox box-1", "line 1: not so"),
        ("sandbox box-1 run-7", "line 1: not so"),
        ("sandbox box-1 # over", "line 1: not so"),
        ("session box-1", "line 1: not so"),
        ("session box-1 run 7", "line 1: not so"),
        (
            "session box-1 ",
            "line 1: claims: the session id is not 1 to 256 printable bytes",
        ),
        ("token id-1\u{a0}", "line 1: not so"),
        (
            "token id-1\u{7}",
            "line 1: claims: the token id is not 1 to 256 printable bytes",
        ),
        ("\u{feff}sandbox box-1", "line 1: not so"),
    ] {
        site.write("revoked.txt", text);
        refused(&site, &file, name, name, &format!("{lines} ({said})")).await;
    }
    fs::write(site.folder.join("revoked.txt"), b"sandbox \xff").unwrap();
    let said = format!("{unreadable} ({missing}: not text)");
    refused(&site, &file, name, name, &said).await;

    site.write("revoked.txt", "sandbox box-2\n   \n");
    let gateway = site.start(&file).await;
    assert_taken(&gateway, &token).await;
    assert_refused(&site, &gateway, &site.token_of("box-2").await).await;
}
