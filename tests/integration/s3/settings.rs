//! What can be set, and what a sandbox is told.

use std::convert::Infallible;

use http::{Request, Response};
use sallygate::{Body, ConfigError, Credential, Limits, Target, service::S3};
use sallygate_test_support::Stack;
use tower::service_fn;

use super::Storage;

fn s3(region: &str) -> Result<S3, ConfigError> {
    let target = Target::new("https://s3.test").unwrap();
    S3::new(target, region, Credential::new("id:secret").unwrap())
}

#[test]
fn what_would_not_hold_is_refused_at_set_up() {
    for region in ["", "EU", "eu west", "eu/s3", "eu\n"] {
        assert!(s3(region).is_err(), "{region:?}");
    }
    for region in ["auto", "eu-central-1", "us-east-1"] {
        assert!(s3(region).is_ok());
    }
    for buckets in [
        &[][..],
        &[""],
        &["ab"],
        &["a/b"],
        &["reports", "../x"],
        &["re ports"],
    ] {
        assert!(
            s3("auto")
                .unwrap()
                .buckets(buckets.iter().copied())
                .is_err(),
            "{buckets:?}"
        );
    }
    for prefix in [
        "",
        "tenants/acme",
        "/",
        "/tenants/",
        "tenants/../",
        "./",
        "a\\..\\/",
        "a\n/",
    ] {
        assert!(s3("auto").unwrap().prefix(prefix).is_err(), "{prefix:?}");
    }
    assert!(s3("auto").unwrap().prefix("tenants/acme/").is_ok());
    assert!(s3("auto").unwrap().virtual_hosts("gate.test:80").is_err());
    assert!(s3("auto").unwrap().virtual_hosts("gate.test").is_ok());
    let odd = s3("auto").unwrap().buckets(["Old_Bucket"]).unwrap();
    assert!(odd.upstream_virtual_hosts().is_err());
}

#[tokio::test]
async fn a_sandbox_is_told_what_its_clients_need() {
    let Some(storage) = Storage::limited().await else {
        return;
    };
    let target = Target::new("https://account.r2.test").unwrap();
    let key = Credential::new("id-of-the-key:secret-of-the-key").unwrap();
    let r2 = S3::new(target, "auto", key)
        .unwrap()
        .buckets(["reports", "logs"])
        .unwrap();
    let layer = storage
        .scene
        .stack
        .empty_layer()
        .service("my-r2", r2)
        .unwrap();
    let setup = layer
        .handle()
        .sandbox_setup_at("https://gate.test", "the.token")
        .unwrap();
    let setup: serde_json::Value = serde_json::from_str(&setup.to_json()).unwrap();
    let base = "https://gate.test/proxy/my-r2";
    for (name, value) in [
        ("AWS_ENDPOINT_URL_S3", base),
        ("AWS_ACCESS_KEY_ID", "the.token"),
        ("AWS_SECRET_ACCESS_KEY", "unused"),
        ("AWS_REGION", "auto"),
        ("RCLONE_CONFIG_MY_R2_TYPE", "s3"),
        ("RCLONE_CONFIG_MY_R2_ENDPOINT", base),
        ("RCLONE_CONFIG_MY_R2_ACCESS_KEY_ID", "the.token"),
        ("RCLONE_CONFIG_MY_R2_FORCE_PATH_STYLE", "true"),
    ] {
        assert_eq!(setup["env"][name], value, "{name}");
    }
    let profile = setup["files"][".aws/config"].as_str().unwrap();
    assert!(
        profile.contains("[profile my-r2]\nregion = auto\n"),
        "{profile}"
    );
    assert!(profile.contains("addressing_style = path"), "{profile}");
    assert_eq!(
        setup["files"][".passwd-s3fs"],
        "reports:the.token:unused\nlogs:the.token:unused\n"
    );
    assert!(!setup.to_string().contains("of-the-key"));
}

#[tokio::test]
async fn limits_are_the_service_s_own() {
    let stack = Stack::new().await;
    // In place of a server that verifies signatures: what comes is not what this is about.
    let accepts = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("stored")))
    });
    let limits = Limits::new().body_bytes(10);
    let service = s3("auto").unwrap().limits(limits);
    let layer = stack.empty_layer().service("s3", service).unwrap();
    let front = stack.serve(layer.client(accepts).into_service()).await;
    let put = |body: &'static str| {
        let request = front.request("PUT", "/proxy/s3/reports/a");
        request.token(&stack.token()).body(body).send()
    };
    let stored = put("0123456789").await;
    assert_eq!((stored.status, stored.text()), (200, "stored"));
    let refused = put("0123456789+").await;
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("<Code>"), "{}", refused.text());
}
