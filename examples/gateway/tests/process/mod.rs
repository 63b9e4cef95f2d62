use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use http::Response;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sallygate::Body;
use sallygate_test_support::{
    Answer, Oracle, PATIENCE, Recorded, Reply, Slot, Upstream, kill, within,
};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

/// The gateway.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sallygate-gateway");

/// What an operator has: a folder for files, a signing secret, a key, and the API that the key opens.
pub(crate) struct Site {
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) upstream: Upstream,
    pub(crate) jwt_secret: String,
    pub(crate) key: String,
    pub(crate) folder: PathBuf,
}

impl Site {
    /// The API answers `hello` to requests with the key as a bearer.
    pub(crate) async fn new() -> Self {
        Self::answering(|_| Reply::ok("hello")).await
    }

    pub(crate) async fn answering(
        script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::upon(Upstream::scripted(script).await)
    }

    pub(crate) fn upon(upstream: Upstream) -> Self {
        static SITES: AtomicUsize = AtomicUsize::new(0);
        let oracle = Oracle::new();
        let (jwt_secret, key) = (oracle.secret("signing secret"), oracle.secret("credential"));
        upstream.accept(Slot::Bearer.show(&key));
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("gateway-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self {
            oracle,
            upstream,
            jwt_secret,
            key,
            folder,
        }
    }

    /// A gateway file with these services.
    pub(crate) fn file(&self, services: &str) -> String {
        let top = "listen = \"127.0.0.1:0\"\nthreads = 2\n";
        format!("{top}[token]\nsecret = {{ env = \"PROXY_JWT_SECRET\" }}\n{services}")
    }

    /// The service `up`: the API, with the key from the environment.
    pub(crate) fn up(&self) -> String {
        self.service("up", "\"bearer\"", "{ env = \"MY_API_KEY\" }")
    }

    pub(crate) fn service(&self, name: &str, inject: &str, credential: &str) -> String {
        let target = format!("http://{}/v1", self.upstream.addr);
        format!(
            "[services.{name}]\ntarget = \"{target}\"\nallow_plaintext = true\n\
             inject = {inject}\ncredential = {credential}\n"
        )
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// `sallygate-gateway FILE`, with this in the file.
    pub(crate) fn command(&self, file: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg(self.write("gateway.toml", file))
            .env("PROXY_JWT_SECRET", &self.jwt_secret)
            .env("MY_API_KEY", &self.key)
            .env("RUST_LOG", "trace");
        command
    }

    pub(crate) async fn start(&self, file: &str) -> Gateway {
        self.start_command(self.command(file)).await
    }

    pub(crate) async fn start_command(&self, command: Command) -> Gateway {
        Gateway::start(command, self.oracle.clone()).await
    }

    /// `sallygate-gateway FILE token …`. It needs no key of any API.
    pub(crate) fn token_command(&self, file: &str, options: &[&str]) -> Command {
        let mut command = self.command(file);
        command.arg("token").args(options).env_remove("MY_API_KEY");
        command
    }

    /// `sallygate-gateway FILE env …`. It needs no key of any API either.
    pub(crate) fn env_command(&self, file: &str, options: &[&str]) -> Command {
        let mut command = self.command(file);
        command.arg("env").args(options).env_remove("MY_API_KEY");
        command
    }

    /// What `sallygate-gateway FILE env …` prints.
    pub(crate) async fn env(&self, file: &str, options: &[&str]) -> String {
        let output = output(self.env_command(file, options)).await;
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) async fn token(&self, options: &[&str]) -> String {
        self.token_for(&self.file(&self.up()), options).await
    }

    pub(crate) async fn token_for(&self, file: &str, options: &[&str]) -> String {
        let output = output(self.token_command(file, options)).await;
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let token = text.strip_suffix('\n').unwrap();
        assert!(!token.contains(char::is_whitespace));
        self.oracle.watch_token(token);
        token.to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        for request in self.upstream.requests() {
            let accepted = self.upstream.accepted();
            self.oracle.saw_request("up", &request.raw, &accepted);
        }
    }
}

/// The gateway as a process. All that it writes is searched for secrets.
pub(crate) struct Gateway {
    pub(crate) process: Child,
    pub(crate) url: String,
    log: watch::Receiver<String>,
    reader: Option<JoinHandle<()>>,
    oracle: Arc<Oracle>,
}

impl Gateway {
    async fn start(mut command: Command, oracle: Arc<Oracle>) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let (sender, log) = watch::channel(String::new());
        let reader = thread::spawn(move || {
            let mut line = Vec::new();
            while stderr
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).into_owned();
                sender.send_modify(|log| log.push_str(&text));
                line.clear();
            }
        });
        let mut gateway = Self {
            process,
            url: String::new(),
            log,
            reader: Some(reader),
            oracle,
        };
        let read_line = spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line)
        });
        let line = within(PATIENCE, read_line).await.unwrap().unwrap();
        let url = line
            .strip_prefix("listening on ")
            .and_then(|url| url.strip_suffix('\n'));
        let Some(url) = url else {
            panic!("no such first line: {line:?}; {}", *gateway.log.borrow());
        };
        gateway.url = url.to_owned();
        gateway
    }

    /// The address behind the URL.
    pub(crate) fn address(&self) -> &str {
        self.url.split("://").nth(1).unwrap()
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> http::request::Builder {
        let uri = format!("{}{target}", self.url);
        http::Request::builder().method(method).uri(uri)
    }

    /// With the token as a bearer.
    pub(crate) fn authorized(
        &self,
        method: &str,
        target: &str,
        token: &str,
    ) -> http::request::Builder {
        self.request(method, target)
            .header("authorization", format!("Bearer {token}"))
    }

    pub(crate) async fn get(&self, target: &str, token: &str) -> Answer {
        self.send(self.authorized("GET", target, token)).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder) -> Answer {
        let response = self.begin(request).await;
        Answer::of(&self.oracle, response).await
    }

    /// The answer, with its body to come.
    pub(crate) async fn begin(&self, request: http::request::Builder) -> Response<Incoming> {
        let request = request.body(Body::empty()).unwrap();
        client().request(request).await.unwrap()
    }

    /// Waits until it has said this on standard error.
    pub(crate) async fn until_said(&self, text: &str) {
        let mut log = self.log.clone();
        let said = within(PATIENCE, log.wait_for(|log| log.contains(text))).await;
        drop(said.unwrap());
    }

    /// As above, and that it has said it so often.
    pub(crate) async fn until_said_times(&self, text: &str, times: usize) {
        let mut log = self.log.clone();
        let often = |log: &String| log.matches(text).count() >= times;
        drop(within(PATIENCE, log.wait_for(often)).await.unwrap());
    }

    /// Waits until nobody is accepted any more.
    pub(crate) async fn until_closed(&self) {
        let refused = async {
            while tokio::net::TcpStream::connect(self.address()).await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within(PATIENCE, refused).await;
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(kill(name, self.process.id()).success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        // Its standard error ends with it.
        let mut log = self.log.clone();
        within(PATIENCE, async { while log.changed().await.is_ok() {} }).await;
        self.process.wait().unwrap()
    }

    /// All that it has said on standard error, once it has stopped.
    pub(crate) async fn stop(mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.exit().await.code(), Some(0));
        let reader = self.reader.take().unwrap();
        spawn_blocking(|| reader.join()).await.unwrap().unwrap();
        self.log.borrow().clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.oracle.saw("standard error", self.log.borrow().clone());
    }
}

pub(crate) fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Runs the gateway to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    sallygate_test_support::output(&mut command, PATIENCE).await
}
