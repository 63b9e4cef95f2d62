use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sallygate_test_support::{Oracle, PATIENCE, tool, within};
use tokio::{net::TcpStream, time::sleep};

/// s3s-fs as a process: it keeps objects as files, and answers 403 to a signature that is not right.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) root: PathBuf,
    pub(super) id: String,
    pub(super) secret: String,
    process: Child,
}

impl Server {
    pub(super) async fn start(oracle: &Oracle) -> Option<Self> {
        Self::start_with(oracle, &[]).await
    }

    pub(super) async fn start_with(oracle: &Oracle, options: &[&str]) -> Option<Self> {
        static SERVERS: AtomicUsize = AtomicUsize::new(0);
        let program = tool("s3s-fs")?;
        let id = format!(
            "AKIA{}",
            oracle.secret("access key id").replace(['+', '/'], "x")
        );
        oracle.watch("access key id", &id);
        let secret = oracle.secret("secret access key");
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("s3-{}-{number}", std::process::id()));
        for bucket in ["reports", "private"] {
            fs::create_dir_all(root.join(bucket)).unwrap();
        }
        // It cannot be told to take any port.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &addr.port().to_string()])
            .args(["--access-key", &id, "--secret-key", &secret])
            .args(options)
            .arg(&root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            addr,
            root,
            id,
            secret,
            process,
        };
        within(PATIENCE, async {
            while TcpStream::connect(addr).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}
