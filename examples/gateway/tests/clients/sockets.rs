//! Programs that speak WebSocket, and a browser.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use sallygate_test_support::{
    Slot, client,
    matrix::{Matrix, SOCKETS},
    program, within,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::stage::{Stage, python, scripts};
use crate::process::Site;

fn table(name: &str, api: SocketAddr) -> String {
    // The clients know it by the name of what they do.
    let name = if name == "api" { "chat" } else { name };
    format!(
        "[services.{name}]\ntarget = \"http://{api}\"\nallow_plaintext = true\ninject = \"bearer\"\n\
         credential = {{ env = \"MY_API_KEY\" }}\naccept = {{ subprotocol = \"token.\" }}\n"
    )
}

/// A process of Python's `websockets`, serving.
pub(super) struct SocketServer {
    pub(super) addr: SocketAddr,
    process: Child,
    said: mpsc::UnboundedReceiver<Value>,
    heads: Mutex<Vec<String>>,
    slot: String,
    oracle: Arc<sallygate_test_support::Oracle>,
}

impl SocketServer {
    pub(super) async fn start(site: &Site, python: &Path) -> Self {
        let mut process = Command::new(python)
            .arg(scripts().join("socket_server.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("KEY", &site.key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, mut said) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let first: Value = within(super::stage::PROGRAM, said.recv()).await.unwrap();
        let port = first["port"].as_u64().unwrap();
        Self {
            addr: format!("127.0.0.1:{port}").parse().unwrap(),
            process,
            said,
            heads: Mutex::default(),
            slot: Slot::Bearer.show(&site.key),
            oracle: site.oracle.clone(),
        }
    }

    /// How each connection was closed, once there are so many.
    pub(super) async fn closes(&mut self, number: usize) -> Vec<Value> {
        let mut closes = Vec::new();
        while closes.len() < number {
            let said = within(super::stage::PROGRAM, self.said.recv())
                .await
                .unwrap();
            match said["head"].as_str() {
                None => closes.push(json!([said["closed"], said["reason"]])),
                Some(head) => {
                    assert_eq!(said["known"], true, "{head}");
                    self.heads.lock().unwrap().push(head.to_owned());
                }
            }
        }
        closes
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for SocketServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for head in self.heads.lock().unwrap().iter() {
            let own = [self.slot.clone()];
            self.oracle.saw_request("sockets", head.as_bytes(), &own);
        }
    }
}

/// What every client does with an open socket.
pub(super) fn judge(matrix: &Matrix, facts: &Value) {
    assert_eq!(facts["echo"], "hello", "{facts}");
    assert_eq!(facts["binary"], json!([0, 1]), "{facts}");
    matrix.report("echo");
    assert_eq!(facts["large"], true, "{facts}");
    matrix.report("message of 4 MiB");
    assert_eq!(facts["pong"], "pong", "{facts}");
    matrix.report("ping and pong");
    let extensions = facts["extensions"].as_str().unwrap();
    assert!(extensions.contains("permessage-deflate"), "{facts}");
    matrix.report("compression");
    assert_eq!(facts["subprotocol"], "chat", "{facts}");
    matrix.report("subprotocol");
    assert_eq!(facts["closed"], json!([4001, "as asked"]), "{facts}");
}

async fn works(name: &'static str, make: impl FnOnce(&Stage) -> Option<Command>) {
    let Some(python) = python() else { return };
    let site = Site::new().await;
    let mut server = SocketServer::start(&site, &python).await;
    let stage = Stage::up(site, table, server.addr).await;
    let Some(mut script) = make(&stage) else {
        return;
    };
    let facts = stage.facts(&mut script).await;
    let matrix = Matrix::of(&SOCKETS, name, facts["version"].as_str().unwrap());
    judge(&matrix, &facts);
    assert_eq!(facts["listed"], json!(["chat", "hello"]), "{facts}");
    matrix.report("token among the subprotocols");
    let closes = server.closes(2).await;
    assert_eq!(closes, [json!([4001, "as asked"]), json!([4002, "enough"])]);
    matrix.report("close codes");
    assert_eq!(facts["refused"]["status"], 401, "{facts}");
    matrix.report("refused token");
    assert_eq!(facts["down"]["status"], 502, "{facts}");
    matrix.report("API unreachable");
    // Nothing of the two that were to fail.
    let heads = server.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads[0].starts_with("GET /echo?room=1 "), "{}", heads[0]);
    assert!(
        heads[0].contains("\r\nsec-websocket-protocol: other,"),
        "{}",
        heads[0]
    );
    assert!(heads[1].contains("\r\nsec-websocket-protocol: chat\r\n"));
}

#[tokio::test]
async fn python_websockets_works() {
    works("websockets (Python)", |stage| {
        Some(stage.python(&python()?, "with_websockets.py", "DOWN_BASE_URL"))
    })
    .await;
}

#[tokio::test]
async fn node_ws_works() {
    works("ws (Node)", |stage| {
        let sdk = client("node_modules/ws")?;
        let node = program("node")?;
        Some(stage.node(&node, &sdk, "with_ws.mjs", "DOWN_BASE_URL"))
    })
    .await;
}
