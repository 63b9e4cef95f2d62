//! Where S3's clients put their access key id: here it is the token.

use std::borrow::Cow;

use http::{header::AUTHORIZATION, request::Parts};

use crate::extract;

pub(super) const CREDENTIAL: &str = "X-Amz-Credential";

/// What follows the access key id: date, region, service and `aws4_request`.
const SCOPE_PARTS: usize = 4;

pub(super) fn find(request: &Parts) -> Option<Cow<'_, str>> {
    extract::bearer(request)
        .or_else(|| signed(request).map(Cow::Borrowed))
        .or_else(|| presigned(request))
}

/// `Authorization: AWS4-HMAC-SHA256 Credential=<id>/<scope>, SignedHeaders=…, Signature=…`.
fn signed(request: &Parts) -> Option<&str> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let parameters = value.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = parameters
        .split(',')
        .find_map(|parameter| parameter.trim().strip_prefix("Credential="))?;
    access_key_id(credential)
}

/// The parameter `X-Amz-Credential=<id>/<scope>` of a presigned URL.
fn presigned(request: &Parts) -> Option<Cow<'_, str>> {
    match extract::query(request, CREDENTIAL)? {
        Cow::Borrowed(credential) => access_key_id(credential).map(Cow::Borrowed),
        Cow::Owned(credential) => access_key_id(&credential).map(|id| Cow::Owned(id.to_owned())),
    }
}

fn access_key_id(credential: &str) -> Option<&str> {
    let (id, scope) = credential.split_at_checked(
        credential
            .rmatch_indices('/')
            .nth(SCOPE_PARTS - 1)
            .map(|(at, _)| at)?,
    )?;
    (scope.ends_with("/aws4_request") && !id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn found(uri: &str, authorization: Option<&str>) -> Option<String> {
        let mut request = Request::get(uri);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        find(&parts).map(Cow::into_owned)
    }

    #[test]
    fn the_token_is_the_access_key_id() {
        let signed = |credential: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 SignedHeaders=host, Credential={credential},Signature=00"
            );
            found("/b/k", Some(&value))
        };
        assert_eq!(
            signed("a.b-c_d.e/20260101/auto/s3/aws4_request").unwrap(),
            "a.b-c_d.e"
        );
        assert_eq!(
            signed("a/b/20260101/auto/s3/aws4_request").unwrap(),
            "a/b",
            "a token of another kind"
        );
        for wrong in [
            "",
            "a",
            "a/20260101/auto/s3",
            "/20260101/auto/s3/aws4_request",
            "a/1/2/3/4",
        ] {
            assert_eq!(signed(wrong), None, "{wrong}");
        }
        assert_eq!(found("/b", Some("Bearer a.b.c")).unwrap(), "a.b.c");
        assert_eq!(found("/b", Some("AWS a.b.c:signature")), None);

        let scope = "%2F20260101%2Fauto%2Fs3%2Faws4_request";
        for query in [
            format!("X-Amz-Credential=a.b.c{scope}"),
            format!("x=1&X-Amz-Credential=a%2Eb%2Ec{scope}&y"),
            "X-Amz-Credential=a.b.c/20260101/auto/s3/aws4_request".into(),
        ] {
            assert_eq!(found(&format!("/b/k?{query}"), None).unwrap(), "a.b.c");
        }
        assert_eq!(found("/b/k?X-Amz-Credential=a.b.c", None), None);
        assert_eq!(found("/b/k", None), None);
    }
}
