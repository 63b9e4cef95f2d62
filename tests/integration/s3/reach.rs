//! Buckets and prefixes, and the ways around them.

use super::{Storage, code};

const OWN: &str = "/reports/tenants/acme/a";

async fn is_refused(storage: &Storage, method: &str, path: &str, fields: &[(&str, &str)]) {
    let sent = storage.tap.requests().len();
    let mut call = storage.call(method, path).body("");
    for (name, value) in fields {
        call = call.header(name, *value);
    }
    let answer = call.send().await;
    let what = format!("{method} {path} {fields:?}");
    match answer.status {
        403 => assert_eq!(code(&answer), "AccessDenied", "{what}"),
        400 => {}
        status => panic!("{status} for {what}: {}", answer.text()),
    }
    assert_eq!(storage.tap.requests().len(), sent, "{what} was sent");
}

#[tokio::test]
async fn other_buckets_are_out_of_reach() {
    let Some(storage) = Storage::new(|s3| s3.buckets(["reports"])).await else {
        return;
    };
    storage.store("/private/a", "secret");
    storage.is_unharmed("a").await;
    for path in [
        "/private/a",
        "/private",
        "/private?list-type=2",
        "/Reports/a",
        "/reports2/a",
    ] {
        is_refused(&storage, "GET", path, &[]).await;
        is_refused(&storage, "PUT", path, &[]).await;
    }
    for source in [
        "private/a",
        "/private/a",
        "%2Fprivate%2Fa",
        "private/a?versionId=1",
    ] {
        is_refused(
            &storage,
            "PUT",
            "/reports/b",
            &[("x-amz-copy-source", source)],
        )
        .await;
    }
    // What would open an object to others.
    let grants = [
        ("x-amz-acl", "public-read"),
        ("x-amz-acl", "PRIVATE, public-read"),
        (
            "x-amz-grant-read",
            "uri=http://acs.amazonaws.com/groups/global/AllUsers",
        ),
    ];
    for grant in grants {
        is_refused(&storage, "PUT", "/reports/b", &[grant]).await;
    }
    let private = storage
        .call("PUT", "/reports/b")
        .header("x-amz-acl", "private")
        .body("b");
    assert_eq!(private.send().await.status, 200);
    // Settings that could lead to another bucket.
    for path in [
        "/reports?replication",
        "/reports?logging",
        "/reports?policy",
    ] {
        is_refused(&storage, "PUT", path, &[]).await;
    }
    is_refused(&storage, "POST", "/reports", &[]).await;
    is_refused(&storage, "POST", "/reports/a?restore", &[]).await;
    let list = storage.get("/reports?list-type=2").await;
    assert!(list.text().contains("<Key>a</Key>"), "{}", list.text());
    let copy = storage
        .call("PUT", "/reports/b")
        .header("x-amz-copy-source", "reports/a");
    assert_eq!(copy.body("").send().await.status, 200);
    let delete = "<Delete><Object><Key>a</Key></Object></Delete>";
    let deleted = storage
        .call("POST", "/reports?delete")
        .body(delete)
        .send()
        .await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(storage.stored("/reports/a").is_none());
}

#[tokio::test]
async fn keys_outside_the_prefix_are_out_of_reach() {
    let Some(storage) = Storage::limited().await else {
        return;
    };
    storage.store("/reports/secret", "secret");
    storage.store("/reports/tenants/other/a", "secret");
    for path in [
        "/reports/secret",
        "/reports/tenants/other/a",
        "/reports/tenants/acme",
        "/reports/tenants/acme2/a",
        "/reports/Tenants/acme/a",
        "/reports/tenants/ACME/a",
        "/reports//tenants/acme/a",
        "/reports/tenants//acme/a",
        "/reports/tenants%252Facme%252Fa",
        "/reports/tenants/acme/../other/a",
        "/reports/tenants/acme/%2e%2e/other/a",
        "/reports/tenants/acme/..%2Fother/a",
        "/reports/tenants/acme%2F..%2Fother/a",
        "/reports/tenants/acme/%252e%252e/other/a",
        "/reports/tenants/acme/..;/other/a",
        "/reports/tenants/acme%5C..%5Cother/a",
        "/reports/tenants/acme+/a",
        "/private/tenants/acme/a",
    ] {
        is_refused(&storage, "GET", path, &[]).await;
        is_refused(&storage, "PUT", path, &[]).await;
        is_refused(&storage, "DELETE", path, &[]).await;
    }
    // Spelled differently, but the same to every server.
    let put = storage
        .put("/reports/%74enants%2Facm%65/b%2Fc", "hello")
        .await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(
        storage.tap.last().line(),
        "PUT /reports/tenants/acme/b/c HTTP/1.1"
    );
    storage.is_unharmed("tenants/acme/a").await;
    assert_eq!(storage.stored("/reports/secret").unwrap(), b"secret");
}

#[tokio::test]
async fn copies_come_from_within_the_prefix() {
    let Some(storage) = Storage::limited().await else {
        return;
    };
    storage.store("/reports/secret", "secret");
    storage.store("/private/a", "secret");
    storage.is_unharmed("tenants/acme/a").await;
    for source in [
        "reports/secret",
        "/reports/secret",
        "reports%2Fsecret",
        "%2Freports%2Fsecret",
        "%72eports/%73ecret",
        "//reports/secret",
        "reports//secret",
        "reports/tenants/acme/../../secret",
        "reports/tenants/acme/%2e%2e/%2e%2e/secret",
        "reports/tenants/acme/%252e%252e/secret",
        "reports/tenants/acme/..%2F..%2Fsecret",
        "reports/tenants/acme/..%5C..%5Csecret",
        "reports/tenants/acme",
        "reports/tenants/acme2/a",
        "reports/tenants%252Facme%252Fa",
        "reports/tenants+acme/a",
        "reports/TENANTS/acme/a",
        "private/tenants/acme/a",
        "private/a?versionId=1",
        "reports/secret?versionId=1",
        "reports/secret?x=reports/tenants/acme/a",
        "?reports/tenants/acme/a",
        "reports/tenants/acme/a?versionId=1&versionId=2",
        "reports/secret#reports/tenants/acme/a",
        "http://127.0.0.1/reports/secret",
        "arn:aws:s3:::reports/secret",
        "arn:aws:s3:eu-central-1:123456789012:accesspoint/x/object/tenants/acme/a",
        "arn%3Aaws%3As3:eu-central-1:123456789012:accesspoint%2Fx%2Fobject%2Fk",
        "",
        "secret",
    ] {
        is_refused(
            &storage,
            "PUT",
            "/reports/tenants/acme/copy",
            &[("x-amz-copy-source", source)],
        )
        .await;
        let part = "/reports/tenants/acme/copy?partNumber=1&uploadId=x";
        is_refused(&storage, "PUT", part, &[("X-Amz-Copy-Source", source)]).await;
    }
    let twice = [
        ("x-amz-copy-source", "reports/tenants/acme/a"),
        ("x-amz-copy-source", "reports/secret"),
    ];
    is_refused(&storage, "PUT", "/reports/tenants/acme/copy", &twice).await;
    for (name, value) in [
        ("x_amz_copy_source", "reports/secret"),
        ("x-amz_copy-source", "reports/secret"),
        ("x-amz-rename-source", "tenants/acme/a"),
        ("x-goog-copy-source", "reports/secret"),
        ("x-minio-extract", "true"),
        ("x-amz-meta-snowball-auto-extract", "true"),
        ("x-amz-meta-minio-snowball-prefix", "secret"),
    ] {
        is_refused(
            &storage,
            "PUT",
            "/reports/tenants/acme/copy",
            &[(name, value)],
        )
        .await;
    }
    for source in [
        "reports/tenants/acme/a",
        "/reports/tenants/acme/a",
        "%2Freports%2Ftenants%2Facme%2Fa",
    ] {
        let call = storage.call("PUT", "/reports/tenants/acme/copy").body("");
        let copy = call.header("x-amz-copy-source", source).send().await;
        assert_eq!(copy.status, 200, "{source}: {}", copy.text());
        let slash = if source.starts_with(['/', '%']) {
            "/"
        } else {
            ""
        };
        assert_eq!(
            storage.tap.last().value("x-amz-copy-source").unwrap(),
            format!("{slash}reports/tenants/acme/a")
        );
        assert_eq!(
            storage.stored("/reports/tenants/acme/copy").unwrap(),
            b"still there"
        );
    }
}

#[tokio::test]
async fn lists_stay_within_the_prefix() {
    let Some(storage) = Storage::limited().await else {
        return;
    };
    storage.store("/reports/secret", "secret");
    storage.store("/reports/tenants/other/a", "secret");
    storage.is_unharmed("tenants/acme/a").await;
    for query in [
        "",
        "?list-type=2",
        "?prefix=",
        "?prefix",
        "?prefix=tenants/",
        "?prefix=tenants/acme",
        "?prefix=tenants/acme2/",
        "?prefix=secret",
        "?Prefix=tenants/acme/",
        "?prefix=tenants/acme/&prefix=",
        "?prefix=secret&prefix=tenants/acme/",
        "?prefix=tenants/acme/;prefix=secret",
        "?prefix=tenants%252Facme%252F",
        "?prefix=tenants/acme/&policy",
        "?prefix=tenants/acme/&acl",
        "?versions",
        "?uploads",
        "?policy",
        "?acl",
        "?cors",
        "?lifecycle",
        "?replication",
        "?logging",
        "?tagging",
        "?versioning",
        "?notification",
        "?website",
        "?encryption",
        "?object-lock",
        "?inventory&id=1",
        "?publicAccessBlock",
    ] {
        // The last but three reads as one value that begins right: it goes out as one value.
        if query == "?prefix=tenants/acme/;prefix=secret" {
            let list = storage.get(&format!("/reports{query}")).await;
            assert_eq!(list.status, 200);
            assert_eq!(
                storage.tap.last().line(),
                "GET /reports?prefix=tenants%2Facme%2F%3Bprefix%3Dsecret HTTP/1.1"
            );
            continue;
        }
        is_refused(&storage, "GET", &format!("/reports{query}"), &[]).await;
    }
    for (method, path) in [
        ("POST", "/reports?delete"),
        ("POST", "/reports"),
        ("PUT", "/reports"),
        ("DELETE", "/reports"),
        ("PUT", "/reports?policy"),
        ("PUT", "/reports?acl"),
        ("DELETE", "/reports?cors"),
        ("GET", &format!("{OWN}?uploads")),
        ("GET", &format!("{OWN}?list-type=2&prefix=")),
        ("GET", &format!("{OWN}?acl")),
        ("PUT", &format!("{OWN}?acl")),
        ("PUT", &format!("{OWN}?legal-hold")),
        ("POST", &format!("{OWN}?restore")),
        ("PUT", &format!("{OWN}?renameObject")),
        ("GET", &format!("{OWN}?anything-new")),
    ] {
        is_refused(&storage, method, path, &[]).await;
    }
    for query in [
        "?prefix=tenants/acme/",
        "?prefix=tenants%2Facme%2F&list-type=2&delimiter=%2F&max-keys=10&encoding-type=url",
        "?list-type=2&prefix=tenants/acme/a&x-id=ListObjectsV2",
    ] {
        let list = storage.get(&format!("/reports{query}")).await;
        assert_eq!(list.status, 200, "{query}: {}", list.text());
        assert!(
            list.text().contains("<Key>tenants/acme/a</Key>"),
            "{}",
            list.text()
        );
        assert!(!list.text().contains("secret") && !list.text().contains("other"));
    }
    for (method, path, status) in [
        ("HEAD", "/reports", 200),
        ("GET", "/reports?location", 200),
        (
            "GET",
            "/reports/tenants/acme/a?response-content-type=text/plain",
            200,
        ),
        ("GET", "/reports?uploads&prefix=tenants/acme/", 501),
    ] {
        let answer = storage.call(method, path).send().await;
        assert_eq!(answer.status, status, "{path}");
    }
}
