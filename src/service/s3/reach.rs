//! How far callers get: the buckets and the prefix that a service is bound to, and what a request may ask within them.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    address::{Address, is_bucket},
    copy_source::CopySource,
    encoding,
    query::Query,
    refusal::Refusal,
};
use crate::{
    ConfigError, TransformError,
    upstream::{headers, path},
};

/// How far callers get: which buckets, and which keys in them.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    pub(super) buckets: Option<Vec<String>>,
    prefix: Option<Prefix>,
}

#[derive(Debug, Clone)]
struct Prefix {
    text: String,
    /// As it stands in a path.
    encoded: String,
}

/// Sub-resources and options of one object: nothing that opens it to others, or writes elsewhere as `restore` can.
const OF_AN_OBJECT: [&str; 10] = [
    "attributes",
    "max-parts",
    "part-number-marker",
    "partNumber",
    "select",
    "select-type",
    "tagging",
    "uploadId",
    "uploads",
    "versionId",
];

/// Options of the four lists: objects (two versions), versions, and uploads under way.
const OF_A_LIST: [&str; 15] = [
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-uploads",
    "prefix",
    "start-after",
    "upload-id-marker",
    "uploads",
    "version-id-marker",
    "versions",
];

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");

impl Reach {
    pub(super) fn set_buckets(&mut self, buckets: Vec<String>) -> Result<(), ConfigError> {
        if buckets.is_empty() {
            return Err(ConfigError::Limit("no bucket is named"));
        }
        if !buckets.iter().all(|bucket| is_bucket(bucket)) {
            return Err(ConfigError::Limit("not the name of a bucket"));
        }
        self.buckets = Some(buckets);
        Ok(())
    }

    pub(super) fn set_prefix(&mut self, prefix: String) -> Result<(), ConfigError> {
        if !prefix.ends_with('/') {
            return Err(ConfigError::Limit(
                "a key prefix ends with a slash: 'a' would let 'ab' pass",
            ));
        }
        if prefix.starts_with('/') {
            return Err(ConfigError::Limit(
                "a key prefix does not begin with a slash: keys do not",
            ));
        }
        let encoded = encoding::key(&prefix);
        if path::check(&format!("/bucket/{encoded}"), true).is_err() {
            return Err(ConfigError::Limit(
                "not a key prefix that a path could have",
            ));
        }
        self.prefix = Some(Prefix {
            text: prefix,
            encoded,
        });
        Ok(())
    }

    /// Whether this may be asked for.
    pub(super) fn check(
        &self,
        method: &Method,
        address: &Address,
        query: &Query,
    ) -> Result<(), TransformError> {
        if !self.has_bucket(&address.bucket) {
            return Err(denied());
        }
        let allowed = match (address.key(), &self.prefix) {
            (_, None) if self.buckets.is_none() => true,
            (Some(_), None) => !query.has("restore") && !query.has("renameObject"),
            (None, None) => in_bucket(method, query),
            (Some(key), Some(prefix)) => {
                key.starts_with(&prefix.encoded)
                    && only(query, &OF_AN_OBJECT)
                    // With another method it would be a question about the bucket.
                    && (*method == Method::POST || !query.has("uploads"))
            }
            (None, Some(prefix)) => below_prefix(method, query, prefix),
        };
        if allowed { Ok(()) } else { Err(denied()) }
    }

    /// Whether the headers name anything else, and puts what they name into the one spelling.
    pub(super) fn check_headers(&self, headers: &mut HeaderMap) -> Result<(), TransformError> {
        // Names of metadata are the caller's own.
        let aliased = |name: &HeaderName| {
            let plain = headers::plain_name(name);
            *plain != *name.as_str()
                && plain.starts_with("x-amz-")
                && !name.as_str().starts_with("x-amz-meta-")
        };
        if headers.keys().any(aliased) {
            return Err(Refusal::bad(
                "InvalidArgument",
                "A header's name could be read in two ways",
            ));
        }
        if headers.get_all(COPY_SOURCE).iter().count() > 1 {
            return Err(Refusal::bad(
                "InvalidArgument",
                "There is more than one copy source",
            ));
        }
        if let Some(value) = headers.get(COPY_SOURCE) {
            let source = CopySource::read(value)?;
            if !self.holds(&source) {
                return Err(denied());
            }
            if let Some(value) = source.write() {
                let value = HeaderValue::try_from(value);
                headers.insert(COPY_SOURCE, value.map_err(|_| denied())?);
            }
        }
        if self.is_limited()
            && (headers.keys().any(names_another)
                || headers.iter().any(|(name, value)| opens(name, value)))
        {
            return Err(denied());
        }
        Ok(())
    }

    fn is_limited(&self) -> bool {
        self.buckets.is_some() || self.prefix.is_some()
    }

    fn has_bucket(&self, bucket: &str) -> bool {
        let buckets = self.buckets.as_ref();
        buckets.is_none_or(|buckets| buckets.iter().any(|own| own == bucket))
    }

    fn holds(&self, source: &CopySource) -> bool {
        match source {
            CopySource::AccessPoint => !self.is_limited(),
            CopySource::Object { bucket, key, .. } => {
                let prefix = self.prefix.as_ref();
                self.has_bucket(bucket) && prefix.is_none_or(|prefix| key.starts_with(&prefix.text))
            }
        }
    }
}

fn denied() -> TransformError {
    Refusal::denied("Access Denied")
}

/// Headers by which a request reaches a second object: `RenameObject`'s; an archive that unpacks itself elsewhere; and
/// all of other vendors, who have copy sources of their own.
fn names_another(name: &HeaderName) -> bool {
    let name = headers::plain_name(name);
    let own = name.strip_prefix("x-amz-");
    match own {
        Some(rest) => {
            rest == "rename-source"
                || rest.starts_with("meta-snowball-")
                || rest.starts_with("meta-minio-snowball-")
        }
        None => [
            "x-minio-", "x-goog-", "x-oss-", "x-cos-", "x-obs-", "x-bz-", "x-copy-", "x-rgw-",
        ]
        .iter()
        .any(|vendor| name.starts_with(vendor)),
    }
}

/// Headers that open an object to others. Clients often say `private`, which is how it is anyway.
fn opens(name: &HeaderName, value: &HeaderValue) -> bool {
    name.as_str().starts_with("x-amz-grant-") || (name == "x-amz-acl" && value != "private")
}

/// A whole bucket is theirs, but not its settings: of these, some name other buckets. Nor is the bucket itself: to make it
/// again can be to open it, and once it is gone its name is anybody's.
fn in_bucket(method: &Method, query: &Query) -> bool {
    match *method {
        Method::GET | Method::HEAD => true,
        Method::POST => query.has("delete"),
        _ => false,
    }
}

fn below_prefix(method: &Method, query: &Query, prefix: &Prefix) -> bool {
    let listed = query.value("prefix");
    match *method {
        Method::HEAD => only(query, &[]),
        Method::GET if query.has("location") => only(query, &["location"]),
        Method::GET => {
            listed.is_some_and(|listed| listed.starts_with(&prefix.text)) && only(query, &OF_A_LIST)
        }
        _ => false,
    }
}

/// Whether a query has none but these parameters, what the response's headers should be, and `x-id`, which means nothing.
fn only(query: &Query, allowed: &[&str]) -> bool {
    query
        .names()
        .all(|name| name == "x-id" || name.starts_with("response-") || allowed.contains(&name))
}
