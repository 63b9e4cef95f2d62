//! S3: one request, several spellings, and what the upstream is asked in the end.

use std::collections::BTreeSet;

use sallygate::{Credential, Target, service::S3};
use sallygate_test_support::{Answer, Front, Reply, Stack};

const ID: &str = "AKIATESTTESTTEST";

struct Rig {
    stack: Stack,
    front: Front,
    token: String,
    secret: String,
    session: String,
}

impl Rig {
    async fn new(settle: impl FnOnce(S3) -> S3) -> Self {
        Self::answering(settle, |_, _| Reply::ok("hello")).await
    }

    /// The upstream answers with the secrets at hand.
    async fn answering(
        settle: impl FnOnce(S3) -> S3,
        script: impl Fn(&sallygate_test_support::Recorded, &[String; 2]) -> Reply
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let known = std::sync::Arc::new(std::sync::OnceLock::<[String; 2]>::new());
        let stack = Stack::answering({
            let known = known.clone();
            move |request| script(request, known.get().unwrap())
        })
        .await;
        let secret = stack.oracle.secret("secret access key");
        let session = stack.oracle.secret("session token");
        known.set([secret.clone(), session.clone()]).unwrap();
        stack
            .upstream
            .accept(format!("\r\nx-amz-security-token: {session}\r\n"));
        let target = Target::dangerous_plaintext(&format!("http://{}", stack.upstream.addr));
        let key = Credential::new(format!("{ID}:{secret}:{session}")).unwrap();
        let s3 = settle(S3::new(target.unwrap(), "us-east-1", key).unwrap());
        let front = stack.serve(stack.layer_with("s3", s3).into_service()).await;
        let token = stack.token();
        Self {
            stack,
            front,
            token,
            secret,
            session,
        }
    }

    async fn limited() -> Self {
        Self::new(|s3| {
            let s3 = s3.virtual_hosts("gate.test").unwrap();
            let s3 = s3.buckets(["reports"]).unwrap();
            s3.prefix("tenants/acme/").unwrap()
        })
        .await
    }

    async fn raw(&self, method: &str, target: &str, host: &str, fields: &[(&str, &str)]) -> Answer {
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n",
            self.token
        );
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        let mut wire = self.front.connect().await;
        wire.send(head + "content-length: 0\r\n\r\n").await;
        if method == "HEAD" {
            wire.answer_to_head().await
        } else {
            wire.answer().await
        }
    }

    /// Everything that was asked of the upstream names this bucket, and keys with this prefix.
    fn stayed_within(&self, what: &str) {
        for request in self.stack.upstream.requests() {
            let target = request.line().split(' ').nth(1).unwrap();
            let path = target.split('?').next().unwrap();
            let own = path.starts_with("/reports/tenants/acme/")
                || (matches!(path, "/reports" | "/reports/")
                    && target.contains("prefix=tenants%2Facme%2F"));
            let plain = !target.contains("..") && !target.to_lowercase().contains("%2e");
            assert!(own && plain, "{what}: {}", request.line());
        }
    }
}

#[tokio::test]
async fn host_and_path_together_name_no_other_bucket() {
    let rig = Rig::limited().await;
    for (target, host) in [
        ("/proxy/s3/reports/tenants/acme/a", "elsewhere.test"),
        ("/proxy/s3/tenants/acme/a", "reports.gate.test"),
        (
            "http://reports.gate.test/proxy/s3/tenants/acme/a",
            "private.gate.test",
        ),
    ] {
        assert_eq!(
            rig.raw("GET", target, host, &[]).await.status,
            200,
            "{target}"
        );
        let line = rig.stack.upstream.last().line().to_owned();
        assert_eq!(line, "GET /reports/tenants/acme/a HTTP/1.1");
    }
    let sent = rig.stack.upstream.requests().len();
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
            let answer = rig.raw(method, target, host, &[]).await;
            let status = answer.status;
            assert!(
                matches!(status, 400 | 403),
                "{status} {method} {target} {host}"
            );
        }
    }
    assert_eq!(rig.stack.upstream.requests().len(), sent);
}

#[tokio::test]
async fn no_parameter_and_no_header_reaches_past_the_prefix() {
    let rig = Rig::limited().await;
    let own = "/proxy/s3/reports/tenants/acme/a";
    for (method, target, fields) in [
        ("PUT", "", &[("x-amz-copy-source", "private/a")][..]),
        (
            "PUT",
            "",
            &[("X-Amz-Copy-Source", "/reports/tenants/other/a")],
        ),
        (
            "PUT",
            "",
            &[("x-amz-copy-source", "reports/tenants/acme/..%2F..%2Fa")],
        ),
        (
            "PUT",
            "",
            &[("x-amz-copy-source", "reports%252Ftenants%252Facme%252Fa")],
        ),
        (
            "PUT",
            "",
            &[(
                "x-amz-copy-source",
                "reports/tenants/acme/a?versionId=1&x=private/a",
            )],
        ),
        ("PUT", "", &[("x-amz-copy-source", "?versionId=1")]),
        ("PUT", "", &[("x-amz-copy-source", "http://private/a")]),
        (
            "PUT",
            "",
            &[("x-amz-copy-source", "arn:aws:s3:::private/a")],
        ),
        (
            "PUT",
            "",
            &[("x-amz-copy-source", "%61rn:aws:s3:::private/a")],
        ),
        (
            "PUT",
            "",
            &[
                ("x-amz-copy-source", "reports/tenants/acme/a"),
                ("x-amz-copy-source", "private/a"),
            ],
        ),
        ("PUT", "", &[("x_amz_copy_source", "private/a")]),
        ("PUT", "", &[("x-amz-copy.source", "private/a")]),
        ("PUT", "", &[("x-amz-rename-source", "/private/a")]),
        ("PUT", "", &[("x-amz-meta-snowball-auto-extract", "true")]),
        ("PUT", "", &[("x-amz-meta_snowball-auto-extract", "true")]),
        ("PUT", "", &[("x-goog-copy-source", "private/a")]),
        ("PUT", "", &[("x_goog_copy_source", "private/a")]),
        ("PUT", "", &[("x-minio-extract", "true")]),
        ("PUT", "", &[("x-amz-acl", "public-read")]),
        (
            "PUT",
            "",
            &[(
                "x-amz-grant-read",
                "uri=http://acs.amazonaws.com/groups/global/AllUsers",
            )],
        ),
        ("PUT", "?X-Amz-Copy-Source=private/a", &[]),
        (
            "PUT",
            "?x-amz-copy-source=reports/tenants/acme/b",
            &[("x-amz-copy-source", "private/a")],
        ),
        (
            "PUT",
            "?X-Amz-Copy-Source=reports/tenants/acme/b&x-amz-copy-source=private/a",
            &[],
        ),
        ("PUT", "?X-Amz-Acl=public-read", &[]),
        ("PUT", "?x-amz-meta-snowball-auto-extract=true", &[]),
        ("PUT", "?%58-amz-copy-source=private/a", &[]),
        ("PUT", "?x-amz_copy-source=private/a", &[]),
        ("PUT", "?acl", &[]),
        ("PUT", "?%61cl", &[]),
        ("PUT", "?acl=&tagging", &[]),
        ("PUT", "?tagging&%61cl", &[]),
        ("GET", "?uploads", &[]),
        ("POST", "?delete", &[]),
        ("POST", "?restore", &[]),
        ("PUT", "?renameObject", &[]),
        ("GET", "?versionId=1&versionId=2", &[]),
        ("GET", "?versionId=1&version%49d=2", &[]),
        ("GET", "?torrent", &[]),
        ("GET", "?prefix=private", &[]),
    ] {
        let answer = rig
            .raw(method, &format!("{own}{target}"), "gate.test", fields)
            .await;
        assert!(
            matches!(answer.status, 400 | 403),
            "{} {method} {target} {fields:?}",
            answer.status
        );
    }
    for query in [
        "",
        "?list-type=2",
        "?prefix=",
        "?prefix=tenants/",
        "?prefix=tenants/acme",
        "?prefix=/tenants/acme/",
        "?prefix=tenants/other/&prefix=tenants/acme/",
        "?prefix=tenants/acme/&prefix=",
        "?prefix=tenants/acme/&%70refix=",
        "?Prefix=tenants/acme/",
        "?prefix=tenants%252Facme%252F",
        "?prefix=tenants+acme/",
        "?prefix=tenants/acme/&acl",
        "?prefix=tenants/acme/&policy",
        "?prefix=tenants/acme/&delete",
        "?prefix=tenants/acme/&logging",
        "?prefix=tenants/acme/&inventory",
        "?prefix=tenants/acme/&x-amz-copy-source=private/a",
    ] {
        for path in ["/proxy/s3/reports", "/proxy/s3/reports/"] {
            for method in ["GET", "PUT", "POST", "DELETE"] {
                let target = format!("{path}{query}");
                let answer = rig.raw(method, &target, "gate.test", &[]).await;
                assert!(
                    matches!(answer.status, 400 | 403),
                    "{} {method} {target}",
                    answer.status
                );
            }
        }
    }
    assert!(rig.stack.upstream.requests().is_empty());
    let good = "/proxy/s3/reports?list-type=2&prefix=tenants%2Facme%2F";
    assert_eq!(rig.raw("GET", good, "gate.test", &[]).await.status, 200);
    let copy = [("x-amz-copy-source", "reports/tenants/acme/b")];
    assert_eq!(rig.raw("PUT", own, "gate.test", &copy).await.status, 200);
    rig.stayed_within("what passed");
}

#[tokio::test]
async fn a_bucket_that_is_named_is_not_made_again_nor_taken_away_nor_opened() {
    let rig = Rig::new(|s3| s3.buckets(["reports"]).unwrap()).await;
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
            let answer = rig.raw(method, path, "gate.test", fields).await;
            assert_eq!(answer.status, 403, "{method} {path} {fields:?}");
        }
    }
    assert!(rig.stack.upstream.requests().is_empty());
    let own = "/proxy/s3/reports/a";
    for method in ["PUT", "GET", "DELETE"] {
        assert_eq!(rig.raw(method, own, "gate.test", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn every_request_is_signed_with_one_key_one_date_and_one_token_whatever_the_caller_sent() {
    let rig = Rig::new(|s3| s3).await;
    let own = "/proxy/s3/reports/a?X-Amz-Algorithm=x&X-Amz-Signature=y&X-Amz-SignedHeaders=host\
               &X-Amz-Security-Token=mine&X-Amz-Date=20200101T000000Z&X-Amz-Expires=604800&partNumber=1";
    let old = rig.raw("GET", own, "gate.test", &[]).await;
    assert_eq!(old.status, 403, "it has expired");
    let fields = [
        ("x-amz-security-token", "mine"),
        ("x-amz-date", "20200101T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-region-set", "*"),
        ("x-amz-server-side-encryption", "AES256"),
    ];
    let answer = rig
        .raw(
            "GET",
            "/proxy/s3/reports/a?partNumber=1",
            "gate.test",
            &fields,
        )
        .await;
    assert_eq!(answer.status, 200);
    let sent = rig.stack.upstream.last();
    assert_eq!(sent.line(), "GET /reports/a?partNumber=1 HTTP/1.1");
    for name in [
        "x-amz-date",
        "x-amz-content-sha256",
        "authorization",
        "host",
    ] {
        assert_eq!(sent.values(name).len(), 1, "{name}");
    }
    assert_eq!(sent.values("x-amz-security-token"), [rig.session.as_str()]);
    assert_ne!(sent.values("x-amz-date"), ["20200101T000000Z"]);
    let authorization = sent.values("authorization")[0];
    assert!(authorization.contains(&format!("Credential={ID}/")));
    // Everything that S3 acts on is signed.
    let signed = authorization.split("SignedHeaders=").nth(1).unwrap();
    let signed: BTreeSet<_> = signed.split(',').next().unwrap().split(';').collect();
    for (name, _) in sent.fields() {
        let name = name.to_ascii_lowercase();
        if name == "host" || name.starts_with("x-amz-") {
            assert!(signed.contains(name.as_str()), "{name}");
        }
    }
    for wrong in ["x-amz-security-token", "x_amz_security_token"] {
        let twice = [(wrong, "a"), (wrong, "b")];
        let answer = rig
            .raw("GET", "/proxy/s3/reports/a", "gate.test", &twice)
            .await;
        if answer.status == 200 {
            let values = rig.stack.upstream.last();
            assert_eq!(
                values.values("x-amz-security-token"),
                [rig.session.as_str()]
            );
        }
    }
}

#[tokio::test]
async fn an_error_that_quotes_the_request_shows_no_part_of_the_key() {
    let rig = Rig::answering(
        |s3| s3,
        |request, [secret, session]| {
            let body = format!(
                "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{ID}</AWSAccessKeyId>\
                 <CanonicalRequest>x-amz-security-token:{session}</CanonicalRequest>\
                 <Echo>{}</Echo><Odd>{secret}</Odd></Error>",
                request.values("authorization")[0]
            );
            Reply::response("403 Forbidden\ncontent-type: application/xml", body)
        },
    )
    .await;
    let answer = rig
        .raw("GET", "/proxy/s3/reports/a", "gate.test", &[])
        .await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("SignatureDoesNotMatch"));
    for part in [ID, &rig.secret, &rig.session] {
        assert!(!answer.text().contains(part));
    }
}

/// Chunks are read as S3 reads them, or not at all.
#[tokio::test]
async fn no_chunk_hides_another_or_a_trailer_that_is_a_header() {
    let rig = Rig::limited().await;
    let put = async |kind: &str, length: &str, trailer: Option<&str>, body: &str| {
        let mut head = format!(
            "PUT /proxy/s3/reports/tenants/acme/a HTTP/1.1\r\nhost: gate.test\r\n\
             authorization: Bearer {}\r\nx-amz-content-sha256: {kind}\r\n\
             content-encoding: aws-chunked\r\nx-amz-decoded-content-length: {length}\r\n\
             content-length: {}\r\n",
            rig.token,
            body.len()
        );
        if let Some(trailer) = trailer {
            head += &format!("x-amz-trailer: {trailer}\r\n");
        }
        let mut wire = rig.front.connect().await;
        wire.send(format!("{head}\r\n{body}")).await;
        wire.answer().await.status
    };
    const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    const PLAIN: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let good = "5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n";
    assert_eq!(put(SIGNED, "5", None, good).await, 200);
    assert_eq!(rig.stack.upstream.last().body, b"hello");
    let crc = "x-amz-checksum-crc32";
    let good = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    assert_eq!(put(PLAIN, "5", Some(crc), good).await, 200);
    for (kind, length, trailer, body) in [
        (SIGNED, "5", None, "5\nhello\n0\n\n"),
        (SIGNED, "5", None, "+5\r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5", None, "0x5\r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5", None, " 5\r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5", None, "5 \r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5", None, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5", None, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5", None, "5\r\nhello0\r\n\r\n"),
        (
            SIGNED,
            "5",
            None,
            "5\r\nhello\r\n0\r\n\r\nPUT /private/a HTTP/1.1\r\n\r\n",
        ),
        (
            SIGNED,
            "5",
            None,
            "5\r\nhello\r\n0\r\nx-amz-copy-source:private/a\r\n\r\n",
        ),
        (SIGNED, "+5", None, "5\r\nhello\r\n0\r\n\r\n"),
        (SIGNED, "5, 5", None, "5\r\nhello\r\n0\r\n\r\n"),
        (
            SIGNED,
            "18446744073709551615",
            None,
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        (SIGNED, "0", None, "5\r\nhello\r\n0\r\n\r\n"),
        (
            PLAIN,
            "5",
            Some("x-amz-copy-source"),
            "5\r\nhello\r\n0\r\nx-amz-copy-source:private/a\r\n\r\n",
        ),
        (
            PLAIN,
            "5",
            Some("host"),
            "5\r\nhello\r\n0\r\nhost:evil\r\n\r\n",
        ),
        (
            PLAIN,
            "5",
            Some(crc),
            "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\nhost:evil\r\n\r\n",
        ),
        (
            PLAIN,
            "5",
            Some(crc),
            "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\nhost:evil\r\n\r\n",
        ),
        (
            PLAIN,
            "5",
            Some(crc),
            "5\r\nhello\r\n0\r\nx-amz-checksum-crc32 :AA\rAAA==\r\n\r\n",
        ),
        (PLAIN, "5", Some(crc), "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let status = put(kind, length, trailer, body).await;
        assert_eq!(status, 400, "{length} {body:?}");
    }
    let whole = rig.stack.upstream.requests();
    let complete = whole.iter().filter(|request| request.complete).count();
    assert_eq!(complete, 2, "the upstream has all of a broken upload");
    for request in &whole {
        let shown = String::from_utf8_lossy(&request.body);
        assert!(
            !shown.contains("evil") && !shown.contains("private"),
            "{shown}"
        );
    }
}
