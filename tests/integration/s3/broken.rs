//! Uploads that are not what they announce: the upstream never has a whole object, and the caller is told.

use super::{
    Storage, code,
    payloads::{SIGNED, UNSIGNED_TRAILER, chunks, data},
};

const LENGTH: usize = 200_003;

#[tokio::test]
async fn an_upload_that_is_not_what_it_announces_is_refused() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let data = data();
    assert_eq!(data.len(), LENGTH);
    let good = chunks(&data, 64 << 10, true, "");
    let without_end = &good[..good.len() - 100];
    let edited = |from: &str, to: &str| {
        let at = memchr::memmem::find(&good, from.as_bytes()).unwrap();
        [&good[..at], to.as_bytes(), &good[at + from.len()..]].concat()
    };
    let cases: [(&str, Vec<u8>, &str); 9] = [
        (
            "cut in the data",
            good[..100_000].to_vec(),
            "IncompleteBody",
        ),
        ("without its end", without_end.to_vec(), "IncompleteBody"),
        (
            "a chunk longer than it says",
            edited("10000;", "ffff;"),
            "InvalidRequest",
        ),
        (
            "a chunk shorter than it says",
            edited("10000;", "10001;"),
            "InvalidRequest",
        ),
        (
            "a chunk of more than there is",
            edited("10000;", "fffffffffff;"),
            "IncompleteBody",
        ),
        (
            "a length that is none",
            edited("10000;", "xyz;"),
            "InvalidRequest",
        ),
        (
            "a head over the limit",
            edited("10000;", &format!("10000;{}", "x".repeat(300))),
            "InvalidRequest",
        ),
        (
            "more than was announced",
            chunks(&[&data[..], b"x"].concat(), 64 << 10, true, ""),
            "IncompleteBody",
        ),
        (
            "less than was announced",
            chunks(&data[1..], 64 << 10, true, ""),
            "IncompleteBody",
        ),
    ];
    for (what, body, expected) in cases {
        for by_http in [false, true] {
            let call = storage.call("PUT", "/reports/broken").signed();
            let call = call
                .header("x-amz-content-sha256", SIGNED)
                .header("x-amz-decoded-content-length", LENGTH.to_string());
            let call = match by_http {
                true => call.chunked(&body, 30_000),
                false => call.body(&body),
            };
            let answer = call.send().await;
            assert_eq!((answer.status, code(&answer)), (400, expected), "{what}");
            assert!(storage.stored("/reports/broken").is_none(), "{what}");
        }
        storage.is_unharmed("a").await;
    }
    let whole = storage
        .tap
        .requests()
        .into_iter()
        .filter(|sent| sent.complete);
    assert!(
        whole
            .into_iter()
            .all(|sent| !sent.line().contains("broken"))
    );
}

#[tokio::test]
async fn trailers_that_are_not_what_was_announced_are_refused() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let data = data();
    for trailers in [
        String::new(),
        "x-amz-checksum-crc32:AAAA\r\n".into(),
        "x-amz-checksum-sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n".into(),
        "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-meta-a:b\r\n".into(),
        "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n".into(),
        "x-amz-checksum-crc32\r\n".into(),
        format!("x-amz-checksum-crc32:{}AAAAAA==\r\n", " ".repeat(9 << 10)),
    ] {
        let call = storage.call("PUT", "/reports/broken").signed();
        let answer = call
            .header("x-amz-content-sha256", UNSIGNED_TRAILER)
            .header("x-amz-decoded-content-length", LENGTH.to_string())
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .body(chunks(&data, 64 << 10, false, &trailers))
            .send()
            .await;
        assert_eq!(
            (answer.status, code(&answer)),
            (400, "MalformedTrailerError"),
            "{trailers:?}"
        );
        assert!(storage.stored("/reports/broken").is_none());
        storage.is_unharmed("a").await;
    }
}

#[tokio::test]
async fn an_upload_of_nothing_has_nothing_in_it() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    for body in ["", "0\r\n", "1\r\nx\r\n0\r\n\r\n", "0\r\n\r\n0\r\n\r\n"] {
        let call = storage.call("PUT", "/reports/broken").signed();
        let answer = call
            .header("x-amz-content-sha256", SIGNED)
            .header("x-amz-decoded-content-length", "0")
            .body(body)
            .send()
            .await;
        assert_eq!(
            (answer.status, code(&answer)),
            (400, "IncompleteBody"),
            "{body:?}"
        );
    }
    assert!(storage.tap.requests().is_empty());
    storage.is_unharmed("a").await;
}
