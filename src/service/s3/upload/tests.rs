use http_body_util::BodyExt;

use super::*;
use crate::service::s3::refusal::Refusal;

const DATA: &str = "0123456789abcdefghij";
const CRC: &str = "x-amz-checksum-crc32:AAAAAA==";

fn announced(names: &[&str], signed: bool) -> Announced {
    Announced::new(names.iter().map(ToString::to_string).collect(), signed).unwrap()
}

/// What comes out of `input`, given in pieces of this many bytes: all of it, or how far it came and the refusal.
async fn through(
    input: &str,
    piece: usize,
    length: u64,
    announced: Announced,
    framing: Framing,
) -> (String, Option<&'static str>) {
    let pieces: Vec<_> = input
        .as_bytes()
        .chunks(piece)
        .map(Bytes::copy_from_slice)
        .collect();
    let body = Body::from_stream(futures_util::stream::iter(
        pieces.into_iter().map(Ok::<_, BoxError>),
    ));
    let mut upload = Upload::new(body, length, announced, framing);
    let hint = upload.size_hint().exact();
    let mut output = Vec::new();
    let broken = loop {
        match upload.frame().await {
            None => break None,
            Some(Ok(frame)) => output.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(error)) => {
                let error = crate::TransformError::in_body(&error).unwrap();
                assert_eq!(error.status(), 400);
                break Some(Refusal::of(&error).unwrap().code);
            }
        }
    };
    if let (None, Some(hint)) = (broken, hint) {
        assert_eq!(hint, output.len() as u64);
        assert!(upload.is_end_stream());
        assert_eq!(upload.size_hint().exact(), Some(0));
    }
    (String::from_utf8(output).unwrap(), broken)
}

#[tokio::test]
async fn signatures_of_chunks_go_and_the_data_stays_however_it_comes() {
    let signature = "0".repeat(64);
    let signed = format!(
        "8;chunk-signature={signature}\r\n01234567\r\n\
         C;chunk-signature={signature}\r\n89abcdefghij\r\n0;chunk-signature={signature}\r\n\r\n"
    );
    for piece in 1..=signed.len() {
        let out = through(&signed, piece, 20, Announced::none(), Framing::None).await;
        assert_eq!(out, (DATA.into(), None), "in pieces of {piece}");
    }
    let signed = signed.replace(
        "\r\n\r\n",
        &format!("\r\n{CRC}\r\nx-amz-trailer-signature:{signature}\r\n\r\n"),
    );
    let framed = format!("14\r\n{DATA}\r\n0\r\n{CRC}\r\n\r\n");
    for piece in 1..=signed.len() {
        let trailers = announced(&["x-amz-checksum-crc32"], true);
        let out = through(&signed, piece, 20, trailers, Framing::Chunks).await;
        assert_eq!(out, (framed.clone(), None), "in pieces of {piece}");
    }
}

#[tokio::test]
async fn frames_are_of_one_length_and_add_up_to_what_was_said() {
    const FRAME: usize = 64 << 10;
    for length in [1, 8, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 17] {
        let data = "x".repeat(length);
        let input = format!("{length:X}\r\n{data}\r\n0\r\n{CRC}\r\n\r\n");
        let trailers = announced(&["x-amz-checksum-crc32"], false);
        let (out, broken) = through(&input, 1000, length as u64, trailers, Framing::Chunks).await;
        assert_eq!(broken, None);
        let mut rest = &*out;
        let mut sizes = Vec::new();
        loop {
            let (head, after) = rest.split_once("\r\n").unwrap();
            let size = usize::from_str_radix(head, 16).unwrap();
            if size == 0 {
                assert_eq!(after, format!("{CRC}\r\n\r\n"));
                break;
            }
            sizes.push(size);
            rest = after[size..].strip_prefix("\r\n").unwrap();
        }
        assert_eq!(sizes.iter().sum::<usize>(), length);
        let (last, others) = sizes.split_last().unwrap();
        assert!(others.iter().all(|size| *size == FRAME) && *last <= FRAME);
    }
}

#[tokio::test]
async fn nothing_at_all_is_an_object_too() {
    let trailers = announced(&["x-amz-checksum-crc32"], false);
    let input = format!("0\r\n{CRC}\r\n\r\n");
    let out = through(&input, 3, 0, trailers, Framing::Chunks).await;
    assert_eq!(out, (input, None));
    let check = async |input: &'static str| {
        let body = Body::from(input);
        Upload::new(body, 0, Announced::none(), Framing::None)
            .check()
            .await
    };
    assert!(check("0;chunk-signature=00\r\n\r\n").await.is_ok());
    for wrong in ["", "0\r\n", "1\r\nx\r\n0\r\n\r\n", "0\r\n\r\nx"] {
        assert!(check(wrong).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn every_checksum_that_is_known_has_its_length() {
    for (algorithm, digits) in [
        ("crc32", 8),
        ("crc32c", 8),
        ("crc64nvme", 12),
        ("md5", 24),
        ("sha1", 28),
        ("sha256", 44),
        ("sha512", 88),
        ("xxhash3", 12),
        ("xxhash64", 12),
        ("xxhash128", 24),
    ] {
        let name = format!("x-amz-checksum-{algorithm}");
        let line = format!("{name}:{}", "A".repeat(digits));
        let input = format!("14\r\n{DATA}\r\n0\r\n{line}\r\n\r\n");
        let out = through(&input, 7, 20, announced(&[&name], false), Framing::Chunks).await;
        assert_eq!(out, (input.clone(), None));
        let short = input.replacen('A', "", 1);
        let (_, broken) = through(&short, 7, 20, announced(&[&name], false), Framing::Chunks).await;
        assert_eq!(broken, Some("MalformedTrailerError"), "{algorithm}");
    }
    let unknown = announced(&["x-amz-checksum-blake3"], false);
    assert_eq!(unknown.length(), None);
    let input = format!("14\r\n{DATA}\r\n0\r\nx-amz-checksum-blake3:any+/=\r\n\r\n");
    let out = through(&input, 7, 20, unknown, Framing::Chunks).await;
    assert_eq!(out, (input, None));
    for names in [
        &["x-amz-meta-a"][..],
        &[""],
        &["x-amz-checksum-"],
        &["x-amz-checksum-crc32"; 2],
        &["content-md5"],
    ] {
        let names = names.iter().map(ToString::to_string).collect();
        assert!(Announced::new(names, false).is_none());
    }
}

#[tokio::test]
async fn what_is_not_as_announced_never_looks_whole() {
    let long_head = format!("14;{}\r\n{DATA}\r\n0\r\n\r\n", "x".repeat(300));
    let unannounced = format!("14\r\n{DATA}\r\n0\r\n{CRC}\r\n\r\n");
    for (input, code) in [
        ("", "IncompleteBody"),
        ("14\r\n0123456789", "IncompleteBody"),
        ("14\r\n0123456789abcdefghij", "IncompleteBody"),
        ("14\r\n0123456789abcdefghij\r\n", "IncompleteBody"),
        ("14\r\n0123456789abcdefghij\r\n0", "IncompleteBody"),
        ("14\r\n0123456789abcdefghij\r\n0\r\n", "IncompleteBody"),
        (
            "14\r\n0123456789abcdefghij\r\n0\r\n\r\nmore",
            "IncompleteBody",
        ),
        ("13\r\n0123456789abcdefghi\r\n0\r\n\r\n", "IncompleteBody"),
        ("15\r\n0123456789abcdefghijk\r\n0\r\n\r\n", "IncompleteBody"),
        (
            "14\r\n0123456789abcdefghij\r\n1\r\nk\r\n0\r\n\r\n",
            "IncompleteBody",
        ),
        (
            "ffffffffffffffff\r\n0123456789abcdefghij\r\n0\r\n\r\n",
            "IncompleteBody",
        ),
        ("13\r\n0123456789abcdefghij\r\n0\r\n\r\n", "InvalidRequest"),
        (
            "13\r\n0123456789abcdefghi\n\r1\r\nj\r\n0\r\n\r\n",
            "InvalidRequest",
        ),
        ("14\n0123456789abcdefghij\r\n0\r\n\r\n", "InvalidRequest"),
        ("-14\r\n0123456789abcdefghij\r\n0\r\n\r\n", "InvalidRequest"),
        ("+14\r\n0123456789abcdefghij\r\n0\r\n\r\n", "InvalidRequest"),
        (
            "0x14\r\n0123456789abcdefghij\r\n0\r\n\r\n",
            "InvalidRequest",
        ),
        (" 14\r\n0123456789abcdefghij\r\n0\r\n\r\n", "InvalidRequest"),
        (";14\r\n0123456789abcdefghij\r\n0\r\n\r\n", "InvalidRequest"),
        (
            "10000000000000014\r\n0123456789abcdefghij\r\n0\r\n\r\n",
            "InvalidRequest",
        ),
        ("\r\n", "InvalidRequest"),
        (&long_head, "InvalidRequest"),
        (&unannounced, "MalformedTrailerError"),
    ] {
        for piece in [1, 2, 3, 1000] {
            let (out, broken) = through(input, piece, 20, Announced::none(), Framing::None).await;
            assert_eq!(broken, Some(code), "{input:?} in pieces of {piece}");
            assert!(out.len() < DATA.len(), "{input:?} in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn trailers_are_those_that_were_announced() {
    let both = ["x-amz-checksum-crc32", "x-amz-checksum-sha1"];
    let crc = format!("{CRC}\r\n");
    let sha = format!("x-amz-checksum-sha1:{}\r\n", "A".repeat(28));
    for (lines, good) in [
        (format!("{crc}{sha}"), true),
        (format!("{sha}{crc}"), true),
        (format!("X-Amz-Checksum-Crc32: AAAAAA== \r\n{sha}"), true),
        (crc.clone(), false),
        (format!("{crc}{crc}{sha}"), false),
        (format!("{crc}{sha}x-amz-meta-a:b\r\n"), false),
        (format!("{crc}{sha}x-amz-trailer-signature:00\r\n"), false),
        (format!("{crc}{}", sha.replace(':', "")), false),
        (format!("{crc}{}", sha.replace('A', "\u{1}")), false),
        (format!("{crc}{}", sha.replace("\r\n", "\n")), false),
        (
            format!(
                "{crc}{}",
                sha.replace(':', &format!(":{}", " ".repeat(9000)))
            ),
            false,
        ),
    ] {
        let input = format!("14\r\n{DATA}\r\n0\r\n{lines}\r\n");
        let (out, broken) = through(&input, 5, 20, announced(&both, false), Framing::Chunks).await;
        assert_eq!(broken.is_none(), good, "{lines:?}");
        assert_eq!(
            broken.unwrap_or("MalformedTrailerError"),
            "MalformedTrailerError"
        );
        assert_eq!(out.ends_with("\r\n\r\n"), good, "{lines:?}");
    }
}
