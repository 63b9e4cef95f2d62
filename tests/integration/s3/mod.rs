//! S3 against s3s-fs, a server that verifies every signature, with a tap in between that keeps what it was sent.

mod bounds;
mod broken;
mod call;
mod clients;
mod home;
mod hosts;
mod memory;
mod objects;
mod payloads;
mod presigned;
mod reach;
mod scripted;
mod serve;
mod server;
mod settings;
mod signature;
mod tap;

use std::{fs, path::PathBuf};

use sallygate::{ConfigError, Credential, Target, service::S3};
use sallygate_test_support::{Answer, Scene, Stack};

use self::{call::Call, server::Server, tap::Tap};

const REGION: &str = "eu-central-1";

/// A proxy whose service `s3` is a real S3 server with the buckets `reports` and `private`.
struct Storage {
    tap: Tap,
    server: Server,
    scene: Scene,
}

impl Storage {
    /// `None`, said on standard error, where there is no server.
    async fn new(settle: impl FnOnce(S3) -> Result<S3, ConfigError>) -> Option<Self> {
        let stack = Stack::new().await;
        let server = Server::start(&stack.oracle).await?;
        let tap = Tap::before(server.addr, stack.oracle.clone(), server.id.clone()).await;
        let target = Target::dangerous_plaintext(&format!("http://{}", tap.addr)).unwrap();
        let key = Credential::new(format!("{}:{}", server.id, server.secret)).unwrap();
        let s3 = settle(S3::new(target, REGION, key).unwrap()).unwrap();
        stack.oracle.saw_debug(&s3);
        Some(Self {
            tap,
            server,
            scene: stack.scene().name("s3").service(s3).start().await,
        })
    }

    /// Callers may use the objects below `tenants/acme/` in `reports`.
    async fn limited() -> Option<Self> {
        Self::new(|s3| s3.buckets(["reports"])?.prefix("tenants/acme/")).await
    }

    fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::new(self, method, path)
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    async fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.call("PUT", path).body(body).send().await
    }

    /// An object as the server keeps it.
    fn stored(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.file(path)).ok()
    }

    /// Puts an object there without the proxy.
    fn store(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.file(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn file(&self, path: &str) -> PathBuf {
        self.server.root.join(path.trim_start_matches('/'))
    }

    /// What every test ends with: the next request is served.
    async fn is_unharmed(&self, key: &str) {
        let put = self.put(&format!("/reports/{key}"), "still there").await;
        assert_eq!(put.status, 200, "{}", put.text());
        let got = self.get(&format!("/reports/{key}")).await;
        assert_eq!((got.status, got.text()), (200, "still there"));
    }
}

/// What a client that signs sends.
fn signed(token: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={token}/20260101/{REGION}/s3/aws4_request, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
        "0".repeat(64)
    )
}

/// The code of an error as S3 words it.
fn code(answer: &Answer) -> &str {
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    let text = answer.text();
    let (_, rest) = text
        .split_once("<Code>")
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        text.contains("<Message>") && text.contains("<RequestId>"),
        "{text}"
    );
    rest.split_once("</Code>").unwrap().0
}
