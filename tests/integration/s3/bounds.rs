//! Callers that reach past their buckets and their prefix: one request, several spellings.

use super::scripted::{assert_stayed_within, limited, raw, scripted};

#[tokio::test]
async fn host_and_path_together_name_no_other_bucket() {
    let scene = limited().await;
    for (target, host) in [
        ("/proxy/s3/reports/tenants/acme/a", "elsewhere.test"),
        ("/proxy/s3/tenants/acme/a", "reports.gate.test"),
        (
            "http://reports.gate.test/proxy/s3/tenants/acme/a",
            "private.gate.test",
        ),
    ] {
        assert_eq!(
            raw(&scene, "GET", target, host, &[]).await.status,
            200,
            "{target}"
        );
        let line = scene.stack.upstream.last().line().to_owned();
        assert_eq!(line, "GET /reports/tenants/acme/a HTTP/1.1");
    }
    let sent = scene.stack.upstream.requests().len();
    for (target, host) in [
        ("/proxy/s3/reports/tenants/acme/a", "private.gate.test"),
        (
            "/proxy/s3/reports/tenants/acme/a",
            "reports.private.gate.test",
        ),
        ("/proxy/s3/tenants/acme/a", "private.reports.gate.test"),
        ("/proxy/s3/private/a", "reports.gate.test."),
        ("/proxy/s3/private/a", "reports.gate.test.evil.test"),
        (
            "http://private.gate.test/proxy/s3/tenants/acme/a",
            "reports.gate.test",
        ),
        (
            "http://x@reports.gate.test/proxy/s3/tenants/other/a",
            "reports.gate.test",
        ),
        (
            "http://x:y@private.gate.test/proxy/s3/tenants/acme/a",
            "reports.gate.test",
        ),
        ("/proxy/s3/private/../reports/tenants/acme/a", "gate.test"),
        (
            "/proxy/s3/tenants/acme/..%2F..%2Fsecret",
            "reports.gate.test",
        ),
        (
            "/proxy/s3/tenants/acme/..%2f..%2fsecret",
            "reports.gate.test",
        ),
        (
            "/proxy/s3/tenants%2Facme%2F%2e%2e%2Fother",
            "reports.gate.test",
        ),
        ("/proxy/s3/tenants/acme%252F../other", "reports.gate.test"),
        ("/proxy/s3/tenants/acme;/a", "reports.gate.test"),
        ("/proxy/s3/tenants//acme/a", "reports.gate.test"),
        ("/proxy/s3/tenants/acme", "reports.gate.test"),
        ("/proxy/s3/tenants/acmes/a", "reports.gate.test"),
        ("/proxy/s3/tenants%5Cacme%5Ca", "reports.gate.test"),
        ("/proxy/s3/%74enants/Acme/a", "reports.gate.test"),
    ] {
        for method in ["GET", "PUT", "HEAD", "DELETE"] {
            let answer = raw(&scene, method, target, host, &[]).await;
            // Dot segments and user information are invalid; what is well formed is out of bounds.
            let invalid = target.contains("..") || target.contains("%2e") || target.contains('@');
            let expected = if invalid { 400 } else { 403 };
            assert_eq!(answer.status, expected, "{method} {target} {host}");
        }
    }
    assert_eq!(scene.stack.upstream.requests().len(), sent);
}

#[tokio::test]
async fn no_parameter_and_no_header_reaches_past_the_prefix() {
    let scene = limited().await;
    let own = "/proxy/s3/reports/tenants/acme/a";
    for (status, method, target, fields) in [
        (403, "PUT", "", &[("x-amz-copy-source", "private/a")][..]),
        (
            403,
            "PUT",
            "",
            &[("X-Amz-Copy-Source", "/reports/tenants/other/a")],
        ),
        (
            400,
            "PUT",
            "",
            &[("x-amz-copy-source", "reports/tenants/acme/..%2F..%2Fa")],
        ),
        (
            400,
            "PUT",
            "",
            &[("x-amz-copy-source", "reports%252Ftenants%252Facme%252Fa")],
        ),
        (
            400,
            "PUT",
            "",
            &[(
                "x-amz-copy-source",
                "reports/tenants/acme/a?versionId=1&x=private/a",
            )],
        ),
        (400, "PUT", "", &[("x-amz-copy-source", "?versionId=1")]),
        (400, "PUT", "", &[("x-amz-copy-source", "http://private/a")]),
        (
            403,
            "PUT",
            "",
            &[("x-amz-copy-source", "arn:aws:s3:::private/a")],
        ),
        (
            403,
            "PUT",
            "",
            &[("x-amz-copy-source", "%61rn:aws:s3:::private/a")],
        ),
        (
            400,
            "PUT",
            "",
            &[
                ("x-amz-copy-source", "reports/tenants/acme/a"),
                ("x-amz-copy-source", "private/a"),
            ],
        ),
        (400, "PUT", "", &[("x_amz_copy_source", "private/a")]),
        (400, "PUT", "", &[("x-amz-copy.source", "private/a")]),
        (403, "PUT", "", &[("x-amz-rename-source", "/private/a")]),
        (
            403,
            "PUT",
            "",
            &[("x-amz-meta-snowball-auto-extract", "true")],
        ),
        (
            400,
            "PUT",
            "",
            &[("x-amz-meta_snowball-auto-extract", "true")],
        ),
        (403, "PUT", "", &[("x-goog-copy-source", "private/a")]),
        (403, "PUT", "", &[("x_goog_copy_source", "private/a")]),
        (403, "PUT", "", &[("x-minio-extract", "true")]),
        (403, "PUT", "", &[("x-amz-acl", "public-read")]),
        (
            403,
            "PUT",
            "",
            &[(
                "x-amz-grant-read",
                "uri=http://acs.amazonaws.com/groups/global/AllUsers",
            )],
        ),
        (403, "PUT", "?X-Amz-Copy-Source=private/a", &[]),
        (
            400,
            "PUT",
            "?x-amz-copy-source=reports/tenants/acme/b",
            &[("x-amz-copy-source", "private/a")],
        ),
        (
            400,
            "PUT",
            "?X-Amz-Copy-Source=reports/tenants/acme/b&x-amz-copy-source=private/a",
            &[],
        ),
        (403, "PUT", "?X-Amz-Acl=public-read", &[]),
        (403, "PUT", "?x-amz-meta-snowball-auto-extract=true", &[]),
        (403, "PUT", "?%58-amz-copy-source=private/a", &[]),
        (403, "PUT", "?x-amz_copy-source=private/a", &[]),
        (403, "PUT", "?acl", &[]),
        (403, "PUT", "?%61cl", &[]),
        (403, "PUT", "?acl=&tagging", &[]),
        (403, "PUT", "?tagging&%61cl", &[]),
        (403, "GET", "?uploads", &[]),
        (403, "POST", "?delete", &[]),
        (403, "POST", "?restore", &[]),
        (403, "PUT", "?renameObject", &[]),
        (400, "GET", "?versionId=1&versionId=2", &[]),
        (400, "GET", "?versionId=1&version%49d=2", &[]),
        (403, "GET", "?torrent", &[]),
        (403, "GET", "?prefix=private", &[]),
    ] {
        let answer = raw(
            &scene,
            method,
            &format!("{own}{target}"),
            "gate.test",
            fields,
        )
        .await;
        assert_eq!(answer.status, status, "{method} {target} {fields:?}");
    }
    for (status, query) in [
        (403, ""),
        (403, "?list-type=2"),
        (403, "?prefix="),
        (403, "?prefix=tenants/"),
        (403, "?prefix=tenants/acme"),
        (403, "?prefix=/tenants/acme/"),
        (400, "?prefix=tenants/other/&prefix=tenants/acme/"),
        (400, "?prefix=tenants/acme/&prefix="),
        (400, "?prefix=tenants/acme/&%70refix="),
        (403, "?Prefix=tenants/acme/"),
        (403, "?prefix=tenants%252Facme%252F"),
        (403, "?prefix=tenants+acme/"),
        (403, "?prefix=tenants/acme/&acl"),
        (403, "?prefix=tenants/acme/&policy"),
        (403, "?prefix=tenants/acme/&delete"),
        (403, "?prefix=tenants/acme/&logging"),
        (403, "?prefix=tenants/acme/&inventory"),
        (403, "?prefix=tenants/acme/&x-amz-copy-source=private/a"),
    ] {
        for path in ["/proxy/s3/reports", "/proxy/s3/reports/"] {
            for method in ["GET", "PUT", "POST", "DELETE"] {
                let target = format!("{path}{query}");
                let answer = raw(&scene, method, &target, "gate.test", &[]).await;
                assert_eq!(answer.status, status, "{method} {target}");
            }
        }
    }
    assert!(scene.stack.upstream.requests().is_empty());
    let good = "/proxy/s3/reports?list-type=2&prefix=tenants%2Facme%2F";
    assert_eq!(raw(&scene, "GET", good, "gate.test", &[]).await.status, 200);
    let copy = [("x-amz-copy-source", "reports/tenants/acme/b")];
    assert_eq!(
        raw(&scene, "PUT", own, "gate.test", &copy).await.status,
        200
    );
    assert_stayed_within(&scene, "what passed");
}

#[tokio::test]
async fn a_bucket_that_is_named_is_not_made_again_nor_taken_away_nor_opened() {
    let scene = scripted(|s3| s3.buckets(["reports"]).unwrap()).await;
    let everybody = "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"";
    for path in [
        "/proxy/s3/reports",
        "/proxy/s3/reports/",
        "/proxy/s3/reports?x-id=CreateBucket",
    ] {
        for (method, fields) in [
            // Where a bucket is there already, this gives it another access control list (us-east-1).
            ("PUT", &[("x-amz-acl", "public-read-write")][..]),
            ("PUT", &[("x-amz-grant-full-control", everybody)]),
            ("PUT", &[("x-amz-object-ownership", "ObjectWriter")]),
            // Its name is then anybody's.
            ("DELETE", &[]),
        ] {
            let answer = raw(&scene, method, path, "gate.test", fields).await;
            assert_eq!(answer.status, 403, "{method} {path} {fields:?}");
        }
    }
    assert!(scene.stack.upstream.requests().is_empty());
    let own = "/proxy/s3/reports/a";
    for method in ["PUT", "GET", "DELETE"] {
        assert_eq!(raw(&scene, method, own, "gate.test", &[]).await.status, 200);
    }
}
