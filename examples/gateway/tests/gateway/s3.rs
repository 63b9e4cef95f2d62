//! S3 from the file. What signing it anew takes is tested with the library.

use std::fs;

use serde_json::Value;

use super::TOKEN;
use crate::process::{Site, output};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";

fn service(site: &Site, more: &str) -> String {
    format!(
        "[services.s3]\npreset = \"s3\"\ntarget = \"http://{}\"\nallow_plaintext = true\n\
         region = \"eu-central-1\"\ncredential = {{ file = \"s3.key\" }}\n{more}",
        site.upstream.addr
    )
}

async fn site() -> Site {
    let site = Site::new().await;
    site.write("s3.key", &format!("{ID}:{}\n", site.key));
    site.upstream.accept(format!(
        "\r\nauthorization: AWS4-HMAC-SHA256 Credential={ID}/"
    ));
    site
}

#[tokio::test]
async fn a_request_to_s3_is_signed_with_the_real_key_within_buckets_and_prefix() {
    let site = site().await;
    let reach =
        "buckets = [\"reports\"]\nprefix = \"acme/\"\nvirtual_hosts = \"gate.example.com\"\n";
    let gateway = site.start(&site.file(&service(&site, reach))).await;
    let token = site.token(TOKEN).await;

    let answer = gateway.get("/proxy/s3/reports/acme/a.txt", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let received = site.upstream.last();
    assert_eq!(received.line(), "GET /reports/acme/a.txt HTTP/1.1");
    let signed = received.values("authorization")[0].to_owned();
    assert!(
        signed.contains("/eu-central-1/s3/aws4_request, SignedHeaders="),
        "{signed}"
    );

    let in_host = gateway
        .authorized("GET", "/proxy/s3/acme/b.txt", &token)
        .header("host", "reports.gate.example.com");
    assert_eq!(gateway.send(in_host).await.status, 200);
    assert_eq!(
        site.upstream.last().line(),
        "GET /reports/acme/b.txt HTTP/1.1"
    );

    for path in [
        "/proxy/s3/reports/other/a.txt",
        "/proxy/s3/private/acme/a.txt",
    ] {
        assert_eq!(gateway.get(path, &token).await.status, 403, "{path}");
    }
    assert_eq!(site.upstream.requests().len(), 2);
}

#[tokio::test]
async fn s3_tools_are_set_up_without_its_key() {
    let site = site().await;
    let file = site.file(&service(&site, "buckets = [\"reports\"]\n"));
    fs::remove_file(site.folder.join("s3.key")).unwrap();
    let options = [
        TOKEN,
        &["--origin", "https://gate.example.com", "--format", "json"],
    ]
    .concat();
    let setup: Value = serde_json::from_str(&site.env(&file, &options).await).unwrap();
    let token = setup["env"]["AWS_ACCESS_KEY_ID"].as_str().unwrap();
    site.oracle.watch_token(token);
    assert_eq!(
        setup["env"]["AWS_ENDPOINT_URL_S3"],
        "https://gate.example.com/proxy/s3"
    );
    assert_eq!(setup["env"]["AWS_REGION"], "eu-central-1");
    assert_eq!(
        setup["files"][".passwd-s3fs"],
        format!("reports:{token}:unused\n")
    );
}

#[tokio::test]
async fn what_s3_cannot_use_is_refused_by_key() {
    let site = site().await;
    let good = service(&site, "buckets = [\"reports\"]\n");
    for (old, new, said) in [
        (
            "region = \"eu-central-1\"\n",
            "",
            "region: expected a name such as",
        ),
        (
            "eu-central-1",
            "EU Central",
            "region: expected a name such as",
        ),
        ("[\"reports\"]", "[]", "buckets: expected names,"),
        (
            "[\"reports\"]",
            "[\"re/ports\"]",
            "buckets: expected names,",
        ),
        (
            "buckets",
            "inject",
            "inject: expected no such key, only preset,",
        ),
        (
            "buckets = [\"reports\"]",
            "prefix = \"acme\"",
            "prefix: expected the beginning of keys,",
        ),
        (
            "buckets = [\"reports\"]",
            "virtual_hosts = \"a/b\"",
            "virtual_hosts: expected the domain",
        ),
        (
            "buckets = [\"reports\"]",
            "upstream_virtual_hosts = true",
            "upstream_virtual_hosts: expected true only with `buckets`",
        ),
    ] {
        assert!(good.contains(old), "{old}");
        let output = output(site.command(&site.file(&good.replacen(old, new, 1)))).await;
        assert!(!output.status.success(), "{said}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains(&format!("gateway.toml: services.s3.{said}")),
            "{said}\n{stderr}"
        );
        site.oracle.saw(said, stderr);
    }
    site.start(&site.file(&good)).await;
}
