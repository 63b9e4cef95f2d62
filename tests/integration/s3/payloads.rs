//! Every way in which S3's clients send a body.

use self::digest::{crc32_base64, hash};
use super::{Storage, code, tap::Request};

pub(super) const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
pub(super) const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// More than a frame, and not a whole number of any.
pub(super) fn data() -> Vec<u8> {
    (0..200_003_u32).map(|at| (at % 251) as u8).collect()
}

/// `data` as a client frames it: in chunks of this size, with signatures if it makes any.
pub(super) fn chunks(data: &[u8], size: usize, signed: bool, trailers: &str) -> Vec<u8> {
    let signature = if signed {
        format!(";chunk-signature={}", "0".repeat(64))
    } else {
        String::new()
    };
    let mut framed = Vec::new();
    for chunk in data.chunks(size) {
        framed.extend(format!("{:x}{signature}\r\n", chunk.len()).bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(format!("0{signature}\r\n{trailers}\r\n").bytes());
    framed
}

fn assert_is_plain(sent: &Request, data: &[u8]) {
    assert!(sent.body == data);
    assert_eq!(sent.value("content-length"), Some(&*data.len().to_string()));
    assert_eq!(sent.value("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    for gone in [
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "transfer-encoding",
    ] {
        assert_eq!(sent.value(gone), None);
    }
}

fn assert_is_framed(sent: &Request, data: &[u8], trailers: &str) {
    assert!(sent.body == chunks(data, 64 << 10, false, trailers));
    assert_eq!(
        sent.value("content-length"),
        Some(&*sent.body.len().to_string())
    );
    assert_eq!(sent.value("transfer-encoding"), None);
    assert_eq!(sent.value("x-amz-content-sha256"), Some(UNSIGNED_TRAILER));
    assert_eq!(
        sent.value("x-amz-decoded-content-length"),
        Some(&*data.len().to_string())
    );
    assert!(!String::from_utf8_lossy(&sent.body).contains("signature"));
}

#[tokio::test]
async fn a_hash_is_kept_and_the_server_checks_it() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let data = data();
    let put = storage.call("PUT", "/reports/a").signed();
    let put = put
        .header("x-amz-content-sha256", hash(&data))
        .body(&data)
        .send()
        .await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert!(storage.stored("/reports/a").unwrap() == data);
    assert_eq!(
        storage.tap.last().value("x-amz-content-sha256"),
        Some(&*hash(&data))
    );

    let put = storage.call("PUT", "/reports/b").signed();
    let put = put
        .header("x-amz-content-sha256", hash(b"other"))
        .body(&data)
        .send()
        .await;
    // This server's word for it.
    assert_eq!(put.status, 500, "{}", put.text());
    assert!(storage.stored("/reports/b").is_none());
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn an_unsigned_payload_passes_as_it_is() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let data = data();
    for named in [true, false] {
        let mut call = storage.call("PUT", "/reports/a").signed().body(&data);
        if named {
            call = call.header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        }
        let put = call.header("content-encoding", "gzip").send().await;
        assert_eq!(put.status, 200, "{}", put.text());
        assert_is_plain(&storage.tap.last(), &data);
        assert_eq!(storage.tap.last().value("content-encoding"), Some("gzip"));
        assert!(storage.stored("/reports/a").unwrap() == data);
    }
}

#[tokio::test]
async fn signed_chunks_become_a_plain_body() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    for data in [data(), b"x".to_vec(), Vec::new()] {
        for (size, coding, kept) in [
            (8 << 10, "aws-chunked", None),
            (64 << 10, "gzip,aws-chunked", Some("gzip")),
            (1 << 20, "AWS-Chunked , gzip", Some("gzip")),
        ] {
            let call = storage.call("PUT", "/reports/a").signed();
            let call = call
                .header("x-amz-content-sha256", SIGNED)
                .header("x-amz-decoded-content-length", data.len().to_string())
                .header("content-encoding", coding);
            let framed = chunks(&data, size, true, "");
            let put = match size {
                size if size < 1 << 20 => call.body(framed),
                _ => call.chunked(framed, 777),
            };
            let put = put.send().await;
            assert_eq!(put.status, 200, "{}", put.text());
            assert_is_plain(&storage.tap.last(), &data);
            assert_eq!(storage.tap.last().value("content-encoding"), kept);
            assert!(storage.stored("/reports/a").unwrap() == data);
        }
    }
}

#[tokio::test]
async fn trailers_stay_and_the_server_checks_them() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let signature = format!("x-amz-trailer-signature:{}\r\n", "0".repeat(64));
    for data in [data(), b"x".to_vec(), Vec::new()] {
        let trailer = format!("x-amz-checksum-crc32:{}\r\n", crc32_base64(&data));
        for (kind, signed, behind) in [
            (UNSIGNED_TRAILER, false, ""),
            (SIGNED_TRAILER, true, &*signature),
        ] {
            for by_http in [false, true] {
                let framed = chunks(&data, 100_000, signed, &format!("{trailer}{behind}"));
                let call = storage.call("PUT", "/reports/a").signed();
                let call = call
                    .header("x-amz-content-sha256", kind)
                    .header("x-amz-decoded-content-length", data.len().to_string())
                    .header("x-amz-trailer", "x-amz-checksum-crc32")
                    .header("content-encoding", "aws-chunked");
                let call = match by_http {
                    true => call.chunked(framed, 5000),
                    false => call.body(framed),
                };
                let put = call.send().await;
                assert_eq!(put.status, 200, "{kind}: {}", put.text());
                let sent = storage.tap.last();
                assert_is_framed(&sent, &data, &trailer);
                assert_eq!(sent.value("x-amz-trailer"), Some("x-amz-checksum-crc32"));
                assert!(storage.stored("/reports/a").unwrap() == data);
            }
        }
    }
    // A checksum of something else: it is the server that says no.
    let data = data();
    let framed = chunks(&data, 100_000, false, "x-amz-checksum-crc32:AAAAAA==\r\n");
    let call = storage.call("PUT", "/reports/b").signed();
    let put = call
        .header("x-amz-content-sha256", UNSIGNED_TRAILER)
        .header("x-amz-decoded-content-length", data.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body(framed)
        .send()
        .await;
    assert_eq!(put.status, 400, "{}", put.text());
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn a_checksum_that_is_not_known_yet_passes_without_a_length() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let data = data();
    let trailer = "x-amz-checksum-blake3:dGhpcyBpcyBub3QgaXQ=\r\n";
    let call = storage.call("PUT", "/reports/a").signed();
    let put = call
        .header("x-amz-content-sha256", UNSIGNED_TRAILER)
        .header("x-amz-decoded-content-length", data.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-blake3")
        .body(chunks(&data, 1 << 20, false, trailer))
        .send()
        .await;
    let sent = storage.tap.last();
    assert!(sent.body == chunks(&data, 64 << 10, false, trailer));
    assert_eq!(sent.value("transfer-encoding"), Some("chunked"));
    assert_eq!(sent.value("content-length"), None);
    assert_eq!(put.status, 200, "{}", put.text());
    assert!(storage.stored("/reports/a").unwrap() == data);
}

#[tokio::test]
async fn checksums_in_headers_pass() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let data = data();
    let put = async |key: &str, checksum: String| {
        let call = storage.call("PUT", &format!("/reports/{key}")).signed();
        call.header("x-amz-checksum-crc32", checksum)
            .body(&data)
            .send()
            .await
    };
    let good = put("a", crc32_base64(&data)).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(
        storage.tap.last().value("x-amz-checksum-crc32"),
        Some(&*crc32_base64(&data))
    );
    let bad = put("b", "AAAAAA==".into()).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn payloads_that_cannot_be_made_sense_of_are_refused() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let plain = chunks(b"0123456789", 10, false, "");
    for (fields, expected) in [
        (
            &[("x-amz-content-sha256", "nonsense")][..],
            "InvalidArgument",
        ),
        (
            &[(
                "x-amz-content-sha256",
                "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            )],
            "NotImplemented",
        ),
        (
            &[(
                "x-amz-content-sha256",
                "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
            )],
            "NotImplemented",
        ),
        (&[("x-amz-content-sha256", SIGNED)], "MissingContentLength"),
        (
            &[
                ("x-amz-content-sha256", SIGNED),
                ("x-amz-decoded-content-length", "-1"),
            ],
            "MissingContentLength",
        ),
        (
            &[
                ("x-amz-content-sha256", SIGNED),
                ("x-amz-decoded-content-length", "18446744073709551615"),
            ],
            "MissingContentLength",
        ),
        (
            &[
                ("x-amz-content-sha256", SIGNED),
                ("x-amz-decoded-content-length", "1000"),
            ],
            "IncompleteBody",
        ),
        (
            &[
                ("x-amz-content-sha256", SIGNED),
                ("x-amz-decoded-content-length", "10"),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ],
            "InvalidRequest",
        ),
        (
            &[
                ("x-amz-content-sha256", UNSIGNED_TRAILER),
                ("x-amz-decoded-content-length", "10"),
                ("x-amz-trailer", "x-amz-meta-a"),
            ],
            "InvalidRequest",
        ),
    ] {
        let mut call = storage.call("PUT", "/reports/a").signed().body(&plain);
        for (name, value) in fields {
            call = call.header(name, *value);
        }
        let answer = call.send().await;
        assert_eq!(
            (answer.status, code(&answer)),
            (400, expected),
            "{fields:?}"
        );
    }
    assert!(storage.tap.requests().is_empty());
    storage.is_unharmed("a").await;
}

/// Digests, from what the tests have at hand.
mod digest {
    use std::io::Write;

    use base64::{Engine, engine::general_purpose::STANDARD};

    pub(super) fn hash(data: &[u8]) -> String {
        let provider = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = provider.tls13().unwrap();
        let digest = suite.common.hash_provider.hash(data);
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    pub(super) fn crc32_base64(data: &[u8]) -> String {
        let mut encoder = flate2::CrcWriter::new(std::io::sink());
        encoder.write_all(data).unwrap();
        STANDARD.encode(encoder.crc().sum().to_be_bytes())
    }
}
