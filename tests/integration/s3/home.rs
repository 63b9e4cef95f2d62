use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sallygate::{Credential, Target, service::S3};
use sallygate_test_support::{PATIENCE, Stack, client, within};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, spawn_blocking},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::{REGION, serve::serve, server::Server, tap::Tap};

pub(super) const OWN: &str = "reports/tenants/acme";

/// A server, the proxy before it, and a home for the client.
pub(super) struct Home {
    pub(super) folder: PathBuf,
    setup: Value,
    pub(super) bad_token: String,
    ca: Option<PathBuf>,
    task: JoinHandle<()>,
    pub(super) tap: Tap,
    pub(super) server: Server,
    stack: Stack,
}

impl Home {
    pub(super) async fn new(tls: bool) -> Option<Self> {
        let stack = Stack::new().await;
        let server = Server::start(&stack.oracle).await?;
        fs::write(server.root.join("reports/secret"), "secret").unwrap();
        let tap = Tap::before(server.addr, stack.oracle.clone(), server.id.clone()).await;
        let target = Target::dangerous_plaintext(&format!("http://{}", tap.addr)).unwrap();
        let key = Credential::new(format!("{}:{}", server.id, server.secret)).unwrap();
        let s3 = S3::new(target, REGION, key).unwrap();
        let s3 = s3
            .buckets(["reports"])
            .unwrap()
            .prefix("tenants/acme/")
            .unwrap();
        let layer = stack.layer_with("s3", s3);

        let home = server.root.with_extension("home");
        fs::create_dir_all(&home).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls { "https" } else { "http" };
        let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
        let token = stack.token();
        let setup = layer.handle().sandbox_setup_at(&origin, &token).unwrap();
        let setup: Value = serde_json::from_str(&setup.to_json()).unwrap();
        for (name, content) in setup["files"].as_object().unwrap() {
            let file = home.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content.as_str().unwrap()).unwrap();
        }
        let (ca, acceptor) = tls.then(certified).unzip();
        let ca = ca.map(|pem| {
            let file = home.join("ca.pem");
            fs::write(&file, pem).unwrap();
            file
        });
        let task = tokio::spawn(serve(listener, acceptor, layer.into_service()));
        Some(Self {
            folder: home,
            setup,
            bad_token: format!("{token}x"),
            ca,
            task,
            tap,
            server,
            stack,
        })
    }

    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_PROXY", "*")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BAD_TOKEN", &self.bad_token)
            .current_dir(&self.folder);
        for (name, value) in self.setup["env"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        if let Some(ca) = &self.ca {
            for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "RCLONE_CA_CERT"] {
                command.env(variable, ca);
            }
        }
        command
    }

    pub(super) async fn run(&self, command: &mut Command) -> Output {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let wait = spawn_blocking(move || child.wait_with_output());
        let output = within(PATIENCE, wait).await.unwrap().unwrap();
        let oracle = &self.stack.oracle;
        oracle.saw("complaints of the client", output.stderr.clone());
        output
    }

    /// What a client says that must succeed.
    pub(super) async fn said(&self, command: &mut Command) -> String {
        let output = self.run(command).await;
        // Not the environment: it holds the token.
        let arguments: Vec<_> = command.get_args().collect();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.server.root.join(OWN).join(name)).ok()
    }

    /// Writes a file of 64 MiB, and says what is in it.
    pub(super) fn big(&self) -> Vec<u8> {
        let big: Vec<u8> = (0..64_u32 << 18)
            .flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_le_bytes())
            .collect();
        fs::write(self.folder.join("big"), &big).unwrap();
        big
    }

    /// Whether the server was sent a request like this.
    pub(super) fn was_sent(&self, start: &str, field: &str) -> bool {
        let mut sent = self.tap.requests().into_iter();
        sent.any(|sent| sent.line().starts_with(start) && sent.value(field).is_some())
    }

    pub(super) async fn fetch(&self, url: &str) -> Option<String> {
        const SCRIPT: &str = "import sys, urllib.request as http\n\
                              print(http.urlopen(sys.argv[1]).read().decode(), end='')";
        let mut python = self.command(&client("venv/bin/python")?);
        Some(self.said(python.args(["-c", SCRIPT, url.trim()])).await)
    }
}

/// A certificate authority, and a server on loopback that it vouches for. Each has a name of its own: OpenSSL takes a
/// certificate whose subject is its issuer for one that signed itself.
fn certified() -> (String, TlsAcceptor) {
    let named = |name: &str, hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let (key, ca_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = named("authority", &[]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let certificate = named("gate", &["127.0.0.1"])
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (pem, TlsAcceptor::from(Arc::new(config)))
}

impl Drop for Home {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
