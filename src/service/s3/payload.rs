//! What the signature says of the body. Bodies stream, so that it is the hash that the client announced, or none.

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_ENCODING};
use http_body::Body as HttpBody;

use super::{
    refusal::Refusal,
    upload::{Announced, Framing, Upload},
};
use crate::{Body, TransformError};

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// More than the largest object there can be, and no sum with it overflows.
const LENGTH_MAX: u64 = 1 << 50;

/// Makes of the caller's body one that can be signed for, and says what it is signed as ("Signature Calculations for the
/// Authorization Header: Transferring Payload in Multiple Chunks").
///
/// A hash stays: the upstream checks it. Signatures of chunks were made with a key that is none, and go.
pub(super) async fn prepare(
    headers: &mut HeaderMap,
    body: Body,
) -> Result<(Body, String), TransformError> {
    let unreadable = || Refusal::bad("InvalidArgument", "x-amz-content-sha256 is not valid");
    let Some(kind) = headers.remove(CONTENT_SHA256) else {
        return Ok((body, UNSIGNED.into()));
    };
    let kind = kind.to_str().map_err(|_| unreadable())?;
    match kind {
        UNSIGNED => Ok((body, kind.into())),
        UNSIGNED_TRAILER => {
            let announced = announced(headers, false)?;
            let length = length(headers, &body)?;
            let upload = upload(body, length, announced, Framing::Chunks).await?;
            Ok((upload, kind.into()))
        }
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
            let announced = announced(headers, true)?;
            let length = length(headers, &body)?;
            let upload = upload(body, length, announced, Framing::Chunks).await?;
            Ok((upload, UNSIGNED_TRAILER.into()))
        }
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => {
            if headers.contains_key(TRAILER) {
                return Err(Refusal::bad(
                    "InvalidRequest",
                    "A trailer is announced for a payload that has none",
                ));
            }
            let length = length(headers, &body)?;
            headers.remove(DECODED_LENGTH);
            remove_chunked(headers);
            let upload = upload(body, length, Announced::none(), Framing::None).await?;
            Ok((upload, UNSIGNED.into()))
        }
        _ if kind.starts_with("STREAMING-") => Err(Refusal::bad(
            "NotImplemented",
            "This kind of payload is not supported",
        )),
        hash if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok((body, hash.to_ascii_lowercase()))
        }
        _ => Err(unreadable()),
    }
}

fn length(headers: &HeaderMap, body: &Body) -> Result<u64, TransformError> {
    let text = headers
        .get(DECODED_LENGTH)
        .and_then(|value| value.to_str().ok());
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    let length = length
        .filter(|length| *length <= LENGTH_MAX)
        .ok_or_else(|| {
            Refusal::bad(
                "MissingContentLength",
                "You must provide x-amz-decoded-content-length",
            )
        })?;
    match body.size_hint().upper() {
        Some(framed) if framed < length => Err(incomplete()),
        _ => Ok(length),
    }
}

fn announced(headers: &HeaderMap, signed: bool) -> Result<Announced, TransformError> {
    let mut names = Vec::new();
    for value in headers.get_all(TRAILER) {
        let value = value.to_str().unwrap_or("?");
        names.extend(
            value
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase()),
        );
    }
    Announced::new(names, signed).ok_or_else(|| {
        Refusal::bad(
            "InvalidRequest",
            "The value specified in the x-amz-trailer header is not supported",
        )
    })
}

async fn upload(
    body: Body,
    length: u64,
    announced: Announced,
    framing: Framing,
) -> Result<Body, TransformError> {
    let wrap = |body| Upload::new(body, length, announced, framing);
    if length > 0 || framing == Framing::Chunks {
        return Ok(body.wrap(wrap));
    }
    let upload = wrap(body);
    // Nothing of it would be asked for: that it was nothing has to be seen first.
    upload.check().await.map_err(|_| incomplete())?;
    Ok(Body::empty())
}

fn incomplete() -> TransformError {
    Refusal::bad("IncompleteBody", "The request body terminated unexpectedly")
}

/// The framing is gone, and so is its name; other encodings stay.
fn remove_chunked(headers: &mut HeaderMap) {
    let kept: Vec<_> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    match HeaderValue::try_from(kept.join(", ")) {
        Ok(codings) if !kept.is_empty() => headers.insert(CONTENT_ENCODING, codings),
        _ => headers.remove(CONTENT_ENCODING),
    };
}
