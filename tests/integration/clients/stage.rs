//! A gateway before an API, and a client before the gateway.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    gateway::process::{Gateway, Site},
    support::client,
};

/// How long a client may take: some need seconds to start, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// A service in the gateway file: its name, and where the API is.
pub(super) type Table = fn(&str, SocketAddr) -> String;

pub(super) struct Stage {
    pub(super) site: Site,
    pub(super) gateway: Gateway,
    pub(super) token: String,
    /// A place where nobody listens, and nobody else can.
    _nowhere: Socket,
}

impl Stage {
    /// Starts a gateway with the services `api` and `down`; behind the latter is nothing.
    pub(super) async fn up(site: Site, table: Table, api: SocketAddr) -> Self {
        let nowhere = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        nowhere.bind(&any.into()).unwrap();
        let down = nowhere.local_addr().unwrap().as_socket().unwrap();
        let services = table("api", api) + &table("down", down);
        let gateway = site.start(&site.file(&services)).await;
        let token = site.token(&["--sandbox", "box-1"]).await;
        Self {
            site,
            gateway,
            token,
            _nowhere: nowhere,
        }
    }

    pub(super) fn base(&self) -> String {
        format!("{}/proxy/api", self.gateway.url)
    }

    pub(super) fn base_of_down(&self) -> String {
        format!("{}/proxy/down", self.gateway.url)
    }

    pub(super) fn bad_token(&self) -> String {
        format!("{}x", self.token)
    }

    /// A client in an environment of its own. What it finds there is the token as the key, and the bases.
    pub(super) fn client(&self, program: &Path) -> Command {
        let home = self.site.folder.join("home");
        fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .current_dir(home);
        command
    }

    /// Runs a client to its end. Nothing that it says shows a secret.
    pub(super) async fn run(&self, command: &mut Command) -> Output {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let wait = spawn_blocking(move || child.wait_with_output());
        let output = timeout(PATIENCE, wait).await;
        let output = output.expect("the client ends in time").unwrap().unwrap();
        let oracle = &self.site.oracle;
        oracle.saw("output of the client", output.stdout.clone());
        oracle.saw("complaints of the client", output.stderr.clone());
        output
    }

    /// Runs a script that prints what it has found out, as JSON.
    pub(super) async fn facts(&self, command: &mut Command) -> Value {
        let output = self.run(command).await;
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    }

    /// A script of tests/clients, in the Python that has the SDKs.
    pub(super) fn python(&self, python: &Path, script: &str) -> Command {
        let mut command = self.client(python);
        command
            .arg(scripts().join(script))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BAD_KEY", self.bad_token())
            .env("DOWN_URL", self.base_of_down());
        command
    }
}

pub(super) fn python() -> Option<PathBuf> {
    client("venv/bin/python")
}

pub(super) fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

pub(super) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}
