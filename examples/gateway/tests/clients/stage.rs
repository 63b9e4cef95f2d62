//! A gateway before an API, and a client before the gateway.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use sallygate_test_support::{client, nowhere, output};
use serde::Deserialize;
use serde_json::Value;
use socket2::Socket;

use crate::process::{Gateway, Site};

/// How long a client may take: some need seconds to start, and the machine may be busy.
pub(super) const PROGRAM: Duration = Duration::from_secs(180);

/// A service in the gateway file: its name, and where the API is.
pub(super) type Table = fn(&str, SocketAddr) -> String;

pub(super) struct Stage {
    pub(super) site: Site,
    _gateway: Gateway,
    pub(super) token: String,
    setup: Setup,
    down: Setup,
    /// A place where nobody listens, and nobody else can.
    _nowhere: Option<Socket>,
}

/// What `gateway FILE env` prints.
#[derive(Default, Deserialize)]
struct Setup {
    env: BTreeMap<String, String>,
    commands: Vec<Vec<String>>,
}

impl Stage {
    /// Starts a gateway with the services `api` and `down`; behind the latter is nothing.
    pub(super) async fn up(site: Site, table: Table, api: SocketAddr) -> Self {
        let (nowhere, down) = nowhere();
        let services = [table("api", api), table("down", down)];
        let gateway = site.start(&site.file(&services.concat())).await;
        let [setup, down] = services.map(|service| site.file(&service));
        let (setup, token) = Setup::of(&site, &gateway, &setup).await;
        let (down, _) = Setup::of(&site, &gateway, &down).await;
        Self {
            site,
            _gateway: gateway,
            token,
            setup,
            down,
            _nowhere: Some(nowhere),
        }
    }

    /// Starts a gateway with this file.
    pub(super) async fn with(site: Site, file: &str) -> Self {
        let gateway = site.start(file).await;
        let (setup, token) = Setup::of(&site, &gateway, file).await;
        Self {
            site,
            _gateway: gateway,
            token,
            setup,
            down: Setup::default(),
            _nowhere: None,
        }
    }

    /// What a variable of the sandbox says.
    pub(super) fn variable(&self, name: &str) -> &str {
        &self.setup.env[name]
    }

    /// What the sandbox is to run.
    pub(super) fn commands(&self) -> &[Vec<String>] {
        &self.setup.commands
    }

    /// The same, of a sandbox with the service behind which is nothing.
    pub(super) fn commands_of_down(&self) -> &[Vec<String>] {
        &self.down.commands
    }

    pub(super) fn bad_token(&self) -> String {
        format!("{}x", self.token)
    }

    /// A client in an environment of its own: that of the sandbox.
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
            .envs(&self.setup.env)
            .current_dir(home);
        command
    }

    /// A script from beside this file, in the Python that has the SDKs. `base` is the variable with the base URL.
    pub(super) fn python(&self, python: &Path, script: &str, base: &str) -> Command {
        let mut command = self.client(python);
        command
            .arg(scripts().join(script))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        self.beside(command, base)
    }

    /// The same for Node, with this module at hand.
    pub(super) fn node(&self, node: &Command, module: &Path, script: &str, base: &str) -> Command {
        // As text, from the folder with the module: modules are looked for from where a file is.
        let script = fs::read_to_string(scripts().join(script)).unwrap();
        let mut command = self.client(node.get_program().as_ref());
        command
            .args(["--input-type=module", "--eval", &script])
            .current_dir(module.parent().unwrap().parent().unwrap());
        self.beside(command, base)
    }

    /// With what is to fail.
    fn beside(&self, mut command: Command, base: &str) -> Command {
        command
            .env("BAD_KEY", self.bad_token())
            .env("DOWN_URL", &self.down.env[base]);
        command
    }

    /// Runs a client to its end. Nothing that it says shows a secret.
    pub(super) async fn run(&self, command: &mut Command) -> Output {
        let output = output(command, PROGRAM).await;
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
}

impl Setup {
    /// Of a sandbox of this gateway, which has its services, or more, from this file; and the token in it.
    async fn of(site: &Site, gateway: &Gateway, file: &str) -> (Self, String) {
        let options = ["--sandbox", "box-1", "--format", "json"];
        let origin = ["--origin", &gateway.url];
        let printed = site.env(file, &[&options[..], &origin].concat()).await;
        let setup: Self = serde_json::from_str(&printed).unwrap();
        let is_token = |name: &str| name.ends_with("_KEY") || name.ends_with("_TOKEN");
        let token = setup.env.iter().find(|(name, _)| is_token(name));
        let token = token.expect("a sandbox is given a token").1.clone();
        site.oracle.watch_token(&token);
        (setup, token)
    }
}

pub(super) fn python() -> Option<PathBuf> {
    client("venv/bin/python")
}

pub(super) fn scripts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"))
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

/// In the text of what a client makes of a service behind which is nothing.
pub(super) const UNREACHABLE: &str = "could not be reached";

/// What a script says of an exception. `text` is a part of its own.
pub(super) fn raised(error: &Value, class: &str, status: u16, text: &str) {
    assert_eq!(error["class"], class, "{error}");
    assert_eq!(error["status"], status, "{error}");
    assert!(error["text"].as_str().unwrap().contains(text), "{error}");
}
