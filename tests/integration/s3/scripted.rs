//! A proxy whose service `s3` has an upstream with a script.

use std::sync::{Arc, OnceLock};

use sallygate::{Credential, Target, service::S3};
use sallygate_test_support::{Answer, Recorded, Reply, Scene, Stack};

pub(super) const ID: &str = "AKIATESTTESTTEST";

/// What is secret in the key of the service.
pub(super) struct Keys {
    pub(super) secret: String,
    pub(super) session: String,
}

pub(super) type Scripted = Scene<Arc<Keys>>;

/// Every request is answered with 200 and `hello`.
pub(super) async fn scripted(settle: impl FnOnce(S3) -> S3) -> Scripted {
    responding(settle, |_, _| Reply::ok("hello")).await
}

/// The same; callers may use the objects below `tenants/acme/` in `reports`.
pub(super) async fn limited() -> Scripted {
    scripted(|s3| {
        let s3 = s3.virtual_hosts("gate.test").unwrap();
        let s3 = s3.buckets(["reports"]).unwrap();
        s3.prefix("tenants/acme/").unwrap()
    })
    .await
}

/// The upstream responds with the secrets at hand.
pub(super) async fn responding(
    settle: impl FnOnce(S3) -> S3,
    script: impl Fn(&Recorded, &Keys) -> Reply + Send + Sync + 'static,
) -> Scripted {
    let known = Arc::new(OnceLock::<Arc<Keys>>::new());
    let stack = Stack::answering({
        let known = known.clone();
        move |request| script(request, known.get().unwrap())
    })
    .await;
    let keys = Arc::new(Keys {
        secret: stack.oracle.secret("secret access key"),
        session: stack.oracle.secret("session token"),
    });
    let _ = known.set(keys.clone());
    let Keys { secret, session } = &*keys;
    stack
        .upstream
        .accept(format!("\r\nx-amz-security-token: {session}\r\n"));
    let target = Target::dangerous_plaintext(&format!("http://{}", stack.upstream.addr)).unwrap();
    let key = Credential::new(format!("{ID}:{secret}:{session}")).unwrap();
    let s3 = settle(S3::new(target.clone(), "us-east-1", key).unwrap());
    let setup = stack.scene().name("s3").before(keys, target);
    setup.service(s3).start().await
}

/// Sends a request that is put together byte for byte.
pub(super) async fn raw(
    scene: &Scripted,
    method: &str,
    target: &str,
    host: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n",
        scene.token
    );
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    let mut wire = scene.front.connect().await;
    wire.send(head + "content-length: 0\r\n\r\n").await;
    if method == "HEAD" {
        wire.answer_to_head().await
    } else {
        wire.answer().await
    }
}

/// Everything that was asked of the upstream names the bucket of [`limited`], and keys with its prefix.
pub(super) fn assert_stayed_within(scene: &Scripted, what: &str) {
    for request in scene.stack.upstream.requests() {
        let target = request.line().split(' ').nth(1).unwrap();
        let path = target.split('?').next().unwrap();
        let own = path.starts_with("/reports/tenants/acme/")
            || (matches!(path, "/reports" | "/reports/")
                && target.contains("prefix=tenants%2Facme%2F"));
        let plain = !target.contains("..") && !target.to_lowercase().contains("%2e");
        assert!(own && plain, "{what}: {}", request.line());
    }
}
