//! What a copy reads from: a bucket and an object that the path does not name, held to the same bounds.

use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::{address::is_bucket, encoding, refusal::Refusal};
use crate::{TransformError, upstream::path};

/// What `x-amz-copy-source` names ("CopyObject").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CopySource {
    /// An access point, by its ARN: which bucket that is, only S3 knows.
    AccessPoint,
    Object {
        bucket: String,
        /// Decoded.
        key: String,
        version: Option<String>,
        slash: bool,
    },
}

impl CopySource {
    pub(super) fn read(value: &HeaderValue) -> Result<Self, TransformError> {
        let wrong = || Refusal::bad("InvalidArgument", "The copy source cannot be read");
        let decode = |text| percent_decode_str(text).decode_utf8().map_err(|_| wrong());
        let value = value.to_str().map_err(|_| wrong())?;
        let (path, version) = match value.split_once('?') {
            Some((path, query)) => {
                let version = query
                    .strip_prefix("versionId=")
                    .filter(|id| !id.contains('&'));
                (path, Some(decode(version.ok_or_else(wrong)?)?.into_owned()))
            }
            None => (value, None),
        };
        let decoded = decode(path)?;
        let (slash, name) = match decoded.strip_prefix('/') {
            Some(name) => (true, name),
            None => (false, &*decoded),
        };
        if name
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("arn:"))
        {
            return Ok(Self::AccessPoint);
        }
        let (bucket, key) = name.split_once('/').ok_or_else(wrong)?;
        let dots = || path::check(&format!("/{bucket}/{}", encoding::key(key)), true).is_err();
        if !is_bucket(bucket) || key.is_empty() || dots() {
            return Err(wrong());
        }
        Ok(Self::Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version,
            slash,
        })
    }

    /// In the one spelling that every server reads alike; `None` to leave it as it is.
    pub(super) fn write(&self) -> Option<String> {
        let Self::Object {
            bucket,
            key,
            version,
            slash,
        } = self
        else {
            return None;
        };
        let slash = if *slash { "/" } else { "" };
        let mut value = format!("{slash}{bucket}/{}", encoding::key(key));
        if let Some(version) = version {
            value.push_str("?versionId=");
            value.push_str(&encoding::parameter(version));
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<CopySource, TransformError> {
        CopySource::read(&HeaderValue::from_str(value).unwrap())
    }

    #[test]
    fn a_source_has_one_spelling() {
        for (given, spelled) in [
            ("reports/a/b.txt", "reports/a/b.txt"),
            ("/reports/a/b.txt", "/reports/a/b.txt"),
            ("reports%2Fa%2Fb.txt", "reports/a/b.txt"),
            ("%2Freports/a", "/reports/a"),
            ("reports/a%20b%2Bc", "reports/a%20b%2Bc"),
            ("reports/a+b", "reports/a%2Bb"),
            ("reports/a%3Fb", "reports/a%3Fb"),
            ("reports/a%252Fb", "reports/a%252Fb"),
            ("reports/a?versionId=v.1_2", "reports/a?versionId=v.1_2"),
            ("reports//a", "reports//a"),
        ] {
            assert_eq!(read(given).unwrap().write().unwrap(), spelled, "{given}");
            assert_eq!(read(spelled).unwrap().write().unwrap(), spelled, "{given}");
        }
        for arn in [
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/x/object/k",
            "ARN%3Aaws:s3:::x/k",
        ] {
            assert_eq!(read(arn).unwrap(), CopySource::AccessPoint);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for value in [
            "",
            "/",
            "reports",
            "reports/",
            "//reports/a",
            "a?b/c",
            "reports/a?x=1",
            "reports/a?versionId=1&x",
            "reports/a?versionid=1",
            "reports/../a",
            "reports/a/%2e%2e/b",
            "reports/a/%252e%252e/b",
            "re ports/a",
            "https://h/reports/a",
            "reports/%ff",
            "reports/a%5C..%5Cb",
        ] {
            assert!(read(value).is_err(), "{value}");
        }
    }
}
