//! gRPC, by the Python client and server, through both ways in.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sallygate::{Api, Client, ProxyLayer, Target};
use sallygate_test_support::{PATIENCE, Server, Slot, Stack, client, nowhere, output, within};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// A folder of its own, for as long as this lives.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("grpc-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The upstream: a process.
struct Python {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Python {
    /// With `pair`, a certificate and its key, it speaks TLS.
    async fn serve(
        python: &Path,
        folder: &Folder,
        key: &str,
        pair: Option<(PathBuf, PathBuf)>,
    ) -> Self {
        let log = folder.0.join("metadata");
        let mut command = Command::new(python);
        command
            .arg(script("grpc_server.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("API_KEY", key)
            .env("LOG", &log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((certificate, key)) = pair {
            command.env("CERT", certificate).env("CERT_KEY", key);
        }
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let line = spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line)
        });
        let line = within(PATIENCE, line).await.unwrap().unwrap();
        Self {
            process,
            port: line.trim().parse().unwrap(),
            log,
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The gRPC service's name is the proxy's: `/pkg.Echo/Method`.
    Mount,
    Host,
}

/// The services of a proxy: `echo`, and one behind which is nothing.
fn layer(stack: &Stack, way: Way, echo: &str, down: SocketAddr, client: Client) -> ProxyLayer {
    let target = |url: String| match url.starts_with("https") {
        true => Target::new(&url).unwrap(),
        false => Target::dangerous_plaintext(&url)
            .unwrap()
            .http2_prior_knowledge(),
    };
    let service = |url: String| Api::bearer(target(url), stack.key.clone());
    let down = format!("http://{down}");
    let clock = stack.clock.clone();
    let layer = match way {
        Way::Mount => ProxyLayer::new("/", stack.verifier())
            .unwrap()
            .service("pkg.Echo", service(format!("{echo}/pkg.Echo")))
            .unwrap()
            .service("pkg.Down", service(format!("{down}/pkg.Down")))
            .unwrap(),
        Way::Host => ProxyLayer::new("/proxy", stack.verifier())
            .unwrap()
            .service("echo", service(echo.into()))
            .unwrap()
            .service("down", service(down))
            .unwrap()
            .host("grpc.gate.test", "echo")
            .unwrap()
            .host_suffix("gate.test")
            .unwrap(),
    };
    layer.clock(move || clock.now()).client(client)
}

/// Runs the client to its end, and gives what it says.
async fn facts(mut command: Command, stack: &Stack) -> Value {
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = output(&mut command, PATIENCE).await;
    stack
        .oracle
        .saw("output of the client", output.stdout.clone());
    stack
        .oracle
        .saw("complaints of the client", output.stderr.clone());
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    eprintln!("{complaints}");
    assert!(output.status.success(), "{complaints}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(mut facts: Value) {
    let version = facts.as_object_mut().unwrap().remove("version").unwrap();
    eprintln!("grpcio {}", version.as_str().unwrap());
    let expected = json!({
        "unary": "olleh",
        "initial": "first",
        "trailing": ["last", "00ff"],
        "empty": "",
        "of client": "one,two,three",
        "of server": ["0", "1", "2", "3", "4"],
        "trailing of server": "last",
        "both": ["<a>", "<b>", "<c>"],
        "trailing of both": "last",
        "large": 128 * 65536,
        "error": ["FAILED_PRECONDITION", "not like \u{e4} this", "last"],
        "no such method": "UNIMPLEMENTED",
        "begun": "begun",
        "cancelled": "yes",
        "deadline": "DEADLINE_EXCEEDED",
        "cancelled by deadline": "yes",
        "bad token": "UNAUTHENTICATED",
        "no token": "UNAUTHENTICATED",
        "bad token, both": "UNAUTHENTICATED",
        "down": "UNAVAILABLE",
        "after": "niaga",
    });
    assert_eq!(facts, expected, "{facts:#}");
}

/// PEM texts: a certificate for a server at 127.0.0.1, its key, and the root to trust. Each has a name of its own: a
/// certificate whose issuer has its name would pass for one that signs itself.
fn pair() -> [String; 3] {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "root");
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let mut own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    own.distinguished_name.push(DnType::CommonName, "server");
    let certificate = own.signed_by(&key, &issuer).unwrap().pem();
    [certificate, key.serialize_pem(), root_pem]
}

fn acceptor(certificate: &str, key: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

struct Play {
    way: Way,
    tls: bool,
}

impl Play {
    async fn run(self) {
        let Some(python) = client("venv/bin/python") else {
            return;
        };
        let folder = Folder::new();
        let stack = Stack::new().await;
        let (_socket, down) = nowhere();
        let mut upstream_client = Client::new();
        let mut pair_of_upstream = None;
        let mut front_tls: Option<TlsAcceptor> = None;
        let [certificate, key, root] = pair();
        if self.tls {
            upstream_client = upstream_client.add_root_certificates(&root).unwrap();
            front_tls = Some(acceptor(&certificate, &key));
            pair_of_upstream = Some((
                folder.write("certificate", &certificate),
                folder.write("key", &key),
            ));
        }
        let upstream = Python::serve(&python, &folder, &stack.secret_key, pair_of_upstream).await;
        let scheme = if self.tls { "https" } else { "http" };
        let echo = format!("{scheme}://127.0.0.1:{}", upstream.port);
        let layer = layer(&stack, self.way, &echo, down, upstream_client);
        let front = Server::start(front_tls, layer.into_service()).await;

        let token = stack.token();
        let mut command = Command::new(&python);
        command
            .arg(script("with_grpc.py"))
            .env("GATE", front.addr.to_string())
            .env("TOKEN", &token)
            .env("BAD_TOKEN", format!("{token}x"));
        if self.way == Way::Host {
            command
                .env("AUTHORITY", "grpc.gate.test")
                .env("DOWN_AUTHORITY", "down.gate.test");
        }
        if self.tls {
            command.env("ROOTS", folder.write("roots", &root));
        }
        check(facts(command, &stack).await);

        let metadata = fs::read_to_string(&upstream.log).unwrap();
        assert!(metadata.contains("\r\nx-request-id: 7\r\n"));
        assert!(
            metadata.contains("\r\nx-own-bin: \u{1}\u{fe}\r\n"),
            "{metadata:?}"
        );
        let slot = Slot::Bearer.show(&stack.secret_key);
        let rest = metadata.replace(&slot, "");
        stack.oracle.saw("metadata of the upstream", rest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_passes_where_its_service_is_the_proxys() {
    let play = Play {
        way: Way::Mount,
        tls: false,
    };
    play.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_passes_by_the_name_of_the_host() {
    let play = Play {
        way: Way::Host,
        tls: false,
    };
    play.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_passes_over_tls_on_both_sides() {
    let play = Play {
        way: Way::Mount,
        tls: true,
    };
    play.run().await;
}
