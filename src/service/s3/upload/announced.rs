//! The trailers that an upload announces, checksums, and how they are sent on.

/// The trailers that a request says will come: checksums, which are all that S3 takes there.
#[derive(Debug)]
pub(in super::super) struct Announced {
    names: Vec<Box<str>>,
    /// A signature of the trailers comes behind them.
    pub(super) signed: bool,
}

const CHECKSUM: &str = "x-amz-checksum-";

impl Announced {
    pub(in super::super) const fn none() -> Self {
        Self {
            names: Vec::new(),
            signed: false,
        }
    }

    /// `None` when one of them is no checksum, or is there twice.
    pub(in super::super) fn new(names: Vec<String>, signed: bool) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_checksum = |name: &String| {
            let algorithm = name.strip_prefix(CHECKSUM);
            algorithm.is_some_and(|algorithm| !algorithm.is_empty() && algorithm.bytes().all(plain))
        };
        let twice = |at: usize| {
            names
                .iter()
                .take(at)
                .any(|name| Some(name) == names.get(at))
        };
        let fit = names.iter().all(is_checksum) && !(0..names.len()).any(twice);
        fit.then(|| Self {
            names: names.into_iter().map(Into::into).collect(),
            signed,
        })
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// How long they are, each in its line; `None` where an algorithm is not known.
    pub(super) fn length(&self) -> Option<u64> {
        let mut length = 0;
        for name in &self.names {
            let value = base64_length(digest_bytes(name.strip_prefix(CHECKSUM)?)?);
            length += line_length(name, value);
        }
        Some(length)
    }

    /// Whether a value could be that of the trailer.
    pub(super) fn fits(name: &str, value: &str) -> bool {
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-');
        let expected = name.strip_prefix(CHECKSUM).and_then(digest_bytes);
        value.bytes().all(plain)
            && expected.is_none_or(|bytes| value.len() as u64 == base64_length(bytes))
    }
}

/// `name:value` and a line break.
fn line_length(name: &str, value: u64) -> u64 {
    name.len() as u64 + 1 + value + 2
}

const fn base64_length(bytes: u64) -> u64 {
    bytes.div_ceil(3) * 4
}

/// "Checking object integrity for data uploads in Amazon S3".
fn digest_bytes(algorithm: &str) -> Option<u64> {
    Some(match algorithm {
        "crc32" | "crc32c" => 4,
        "crc64nvme" | "xxhash3" | "xxhash64" => 8,
        "md5" | "xxhash128" => 16,
        "sha1" => 20,
        "sha256" => 32,
        "sha512" => 64,
        _ => return None,
    })
}
