//! Which bucket and object a request is about, from its path or its host, in the one spelling that is sent.

use super::{encoding, refusal::Refusal};
use crate::TransformError;

/// The bucket or object that a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) bucket: String,
    /// What follows the bucket, as it is sent: empty, or a slash and the key.
    pub(super) path: String,
}

impl Address {
    /// Path style: `/bucket/key`.
    pub(super) fn in_path(path: &str) -> Result<Self, TransformError> {
        let rest = path.trim_start_matches('/');
        let (bucket, key) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self::new(bucket, key)
    }

    /// Virtual-host style: the bucket is in the host.
    pub(super) fn in_host(bucket: &str, path: &str) -> Result<Self, TransformError> {
        Self::new(bucket, path)
    }

    fn new(bucket: &str, path: &str) -> Result<Self, TransformError> {
        if bucket.is_empty() {
            return Err(Refusal::bad(
                "InvalidBucketName",
                "The request names no bucket",
            ));
        }
        if !is_bucket(bucket) {
            return Err(Refusal::bad(
                "InvalidBucketName",
                "The specified bucket is not valid",
            ));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            path: encoding::path(path),
        })
    }

    /// The key as it is sent; `None` for the bucket itself.
    pub(super) fn key(&self) -> Option<&str> {
        self.path.strip_prefix('/').filter(|key| !key.is_empty())
    }
}

/// The old, wider rule for names: buckets from before 2018 may have one of these.
pub(super) fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (3..=255).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_bucket_and_a_key() {
        for (path, bucket, rest, key) in [
            ("/reports", "reports", "", None),
            ("/reports/", "reports", "/", None),
            ("/reports/a", "reports", "/a", Some("a")),
            ("/reports//a", "reports", "//a", Some("/a")),
            ("/reports/a%2Fb/", "reports", "/a/b/", Some("a/b/")),
            ("/reports/a+b", "reports", "/a%2Bb", Some("a%2Bb")),
        ] {
            let address = Address::in_path(path).unwrap();
            assert_eq!(
                (&*address.bucket, &*address.path, address.key()),
                (bucket, rest, key)
            );
        }
        for path in [
            "/",
            "",
            "/ab",
            "/a%62c/k",
            "/arn:aws:s3/k",
            "/-ab/k",
            "/a..b/k",
        ] {
            assert!(Address::in_path(path).is_err(), "{path}");
        }
    }
}
