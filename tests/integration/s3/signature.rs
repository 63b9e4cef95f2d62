//! What is signed, and that nothing of the key shows.

use std::collections::BTreeSet;

use sallygate_test_support::Reply;

use super::scripted::{ID, Keys, limited, raw, responding, scripted};

#[tokio::test]
async fn every_request_is_signed_with_one_key_one_date_and_one_token_whatever_the_caller_sent() {
    let scene = scripted(|s3| s3).await;
    let own = "/proxy/s3/reports/a?X-Amz-Algorithm=x&X-Amz-Signature=y&X-Amz-SignedHeaders=host\
               &X-Amz-Security-Token=mine&X-Amz-Date=20200101T000000Z&X-Amz-Expires=604800&partNumber=1";
    let old = raw(&scene, "GET", own, "gate.test", &[]).await;
    assert_eq!(old.status, 403, "it has expired");
    let fields = [
        ("x-amz-security-token", "mine"),
        ("x-amz-date", "20200101T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-region-set", "*"),
        ("x-amz-server-side-encryption", "AES256"),
    ];
    let answer = raw(
        &scene,
        "GET",
        "/proxy/s3/reports/a?partNumber=1",
        "gate.test",
        &fields,
    )
    .await;
    assert_eq!(answer.status, 200);
    let sent = scene.stack.upstream.last();
    assert_eq!(sent.line(), "GET /reports/a?partNumber=1 HTTP/1.1");
    for name in [
        "x-amz-date",
        "x-amz-content-sha256",
        "authorization",
        "host",
    ] {
        assert_eq!(sent.values(name).len(), 1, "{name}");
    }
    assert_eq!(
        sent.values("x-amz-security-token"),
        [scene.upstream.session.as_str()]
    );
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
        let answer = raw(&scene, "GET", "/proxy/s3/reports/a", "gate.test", &twice).await;
        if answer.status == 200 {
            let values = scene.stack.upstream.last();
            assert_eq!(
                values.values("x-amz-security-token"),
                [scene.upstream.session.as_str()]
            );
        }
    }
}

#[tokio::test]
async fn an_error_that_quotes_the_request_shows_no_part_of_the_key() {
    let scene = responding(
        |s3| s3,
        |request, Keys { secret, session }| {
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
    let answer = raw(&scene, "GET", "/proxy/s3/reports/a", "gate.test", &[]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("SignatureDoesNotMatch"));
    for part in [ID, &scene.upstream.secret, &scene.upstream.session] {
        assert!(!answer.text().contains(part));
    }
}

/// Chunks are read as S3 reads them, or not at all.
#[tokio::test]
async fn no_chunk_hides_another_or_a_trailer_that_is_a_header() {
    let scene = limited().await;
    let put = async |kind: &str, length: &str, trailer: Option<&str>, body: &str| {
        let mut head = format!(
            "PUT /proxy/s3/reports/tenants/acme/a HTTP/1.1\r\nhost: gate.test\r\n\
             authorization: Bearer {}\r\nx-amz-content-sha256: {kind}\r\n\
             content-encoding: aws-chunked\r\nx-amz-decoded-content-length: {length}\r\n\
             content-length: {}\r\n",
            scene.token,
            body.len()
        );
        if let Some(trailer) = trailer {
            head += &format!("x-amz-trailer: {trailer}\r\n");
        }
        let mut wire = scene.front.connect().await;
        wire.send(format!("{head}\r\n{body}")).await;
        wire.answer().await.status
    };
    const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    const PLAIN: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let good = "5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n";
    assert_eq!(put(SIGNED, "5", None, good).await, 200);
    assert_eq!(scene.stack.upstream.last().body, b"hello");
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
    let whole = scene.stack.upstream.requests();
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
