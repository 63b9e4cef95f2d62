//! Signature Version 4, by the SDK's own crate: every header that it is given is signed, and the URI as it is.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use tracing::subscriber::{NoSubscriber, with_default};

/// How requests to one service are signed ("Create a signed AWS API request").
#[derive(Debug, Clone, Copy)]
pub(super) struct Signing<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) time: SystemTime,
    /// The path is encoded once more for the signature: everywhere but at S3.
    pub(super) encode_twice: bool,
    /// Dot segments and double slashes are resolved for the signature: everywhere but at S3.
    pub(super) normalize: bool,
    /// `x-amz-content-sha256` is added: at S3.
    pub(super) name_payload: bool,
}

impl Signing<'_> {
    /// The headers to add, and whether their values are secret. All of `headers` are signed, and the URI as it is.
    pub(super) fn headers<'r>(
        &self,
        key: Credentials,
        method: &'r str,
        uri: String,
        headers: impl Iterator<Item = (&'r str, &'r str)>,
        payload: &str,
    ) -> Result<Vec<(&'static str, String, bool)>, tower::BoxError> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = if self.encode_twice {
            PercentEncodingMode::Double
        } else {
            PercentEncodingMode::Single
        };
        settings.uri_path_normalization_mode = UriPathNormalizationMode::from(self.normalize);
        settings.payload_checksum_kind = if self.name_payload {
            PayloadChecksumKind::XAmzSha256
        } else {
            PayloadChecksumKind::NoHeader
        };
        let identity = key.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(settings)
            .build();
        let parameters = parameters?.into();
        let payload = SignableBody::Precomputed(payload.to_owned());
        // It would log what it signs with.
        with_default(NoSubscriber::new(), || {
            let request = SignableRequest::new(method, uri, headers, payload)?;
            let (instructions, _) = sign(request, &parameters)?.into_parts();
            let (headers, _) = instructions.into_parts();
            let headers = headers.into_iter();
            Ok(headers
                .map(|header| (header.name(), header.value().to_owned(), header.sensitive()))
                .collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Duration, UNIX_EPOCH},
    };

    use serde_json::Value;

    use super::*;
    use crate::service::s3::encoding;

    const VECTORS: &str =
        include_str!("../../../tests/vectors/aws-sigv4/aws-sig-v4-test-suite.json");
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// A request of the vectors: request line, then fields, then the body.
    struct Request<'v> {
        method: &'v str,
        target: &'v str,
        fields: Vec<(&'v str, &'v str)>,
    }

    impl<'v> Request<'v> {
        fn read(text: &'v str) -> Self {
            let (head, _) = text.split_once("\n\n").unwrap_or((text, ""));
            let mut lines = head.lines();
            let line = lines.next().unwrap();
            let (method, rest) = line.split_once(' ').unwrap();
            let target = rest.trim_end_matches(" HTTP/1.1");
            let fields = lines.map(|line| line.split_once(':').unwrap());
            Self {
                method,
                target,
                fields: fields.collect(),
            }
        }

        fn field(&self, name: &str) -> &'v str {
            let named = |(field, _): &&(&str, &str)| field.eq_ignore_ascii_case(name);
            self.fields.iter().find(named).unwrap().1.trim()
        }

        /// As it is sent: the vectors have raw spaces and letters in their paths.
        fn uri(&self) -> String {
            let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
            let query: String = query
                .bytes()
                .map(|byte| match byte {
                    byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
                    byte => format!("%{byte:02X}"),
                })
                .collect();
            let mark = if query.is_empty() { "" } else { "?" };
            format!(
                "https://{}{}{mark}{query}",
                self.field("host"),
                encoding::path(path)
            )
        }
    }

    /// The signature we make: that of the vector, or what differs.
    fn signed(files: &BTreeMap<String, String>, context: &Value, twice: bool) -> String {
        let request = Request::read(&files["request.txt"]);
        let credentials = &context["credentials"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let omit = context["omit_session_token"] == true;
        let session = credentials["token"].as_str().filter(|_| !omit);
        let key = Credentials::new(
            text(&credentials["access_key_id"]),
            text(&credentials["secret_access_key"]),
            session.map(Into::into),
            None,
            "vectors",
        );
        let canonical = &files["header-canonical-request.txt"];
        let signing = Signing {
            service: context["service"].as_str().unwrap(),
            region: context["region"].as_str().unwrap(),
            time: time(&text(&context["timestamp"])),
            encode_twice: twice,
            normalize: context["normalize"] == true,
            name_payload: context["sign_body"] == true,
        };
        let fields = request.fields.iter().copied();
        let fields = fields.filter(|(name, _)| !name.eq_ignore_ascii_case("x-amz-date"));
        let payload = canonical.lines().last().unwrap();
        let added = signing.headers(key, request.method, request.uri(), fields, payload);
        let added = added.unwrap();
        added
            .into_iter()
            .find(|(name, ..)| *name == "authorization")
            .unwrap()
            .1
    }

    fn time(text: &str) -> SystemTime {
        match text {
            "2015-08-30T12:36:00Z" => UNIX_EPOCH + Duration::from_secs(1_440_938_160),
            "2021-05-11T15:40:45Z" => UNIX_EPOCH + Duration::from_secs(1_620_747_645),
            other => panic!("another time: {other}"),
        }
    }

    #[test]
    fn aws_own_vectors_are_signed_as_they_should_be() {
        let mut vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let cases: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_value(vectors["cases"].take()).unwrap();
        assert_eq!(cases.len(), 40);
        let (mut passed, mut skipped) = (0, Vec::new());
        for (name, files) in &cases {
            let context = match (name.as_str(), files.get("context.json")) {
                (_, Some(context)) => serde_json::from_str(context).unwrap(),
                ("double-url-encode", None) => serde_json::json!({
                    "credentials": {
                        "access_key_id": "AKIDEXAMPLE",
                        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                    },
                    "normalize": true,
                    "region": "us-east-2",
                    "service": "lambda",
                    "timestamp": "2021-05-11T15:40:45Z",
                }),
                // Which key it is signed with is not said, and its date is not that of its canonical request.
                ("double-encode-path", None) => {
                    skipped.push(name.as_str());
                    continue;
                }
                (other, None) => panic!("{other} has no context"),
            };
            // A value over several lines (obsolete since RFC 7230) does not get through any parser of today.
            if name == "get-header-value-multiline" {
                skipped.push(name.as_str());
                continue;
            }
            let twice = name == "double-url-encode";
            let expected = Request::read(&files["header-signed-request.txt"]);
            assert_eq!(
                signed(files, &context, twice),
                expected.field("authorization"),
                "{name}"
            );
            passed += 1;
        }
        assert_eq!(
            skipped,
            ["double-encode-path", "get-header-value-multiline"]
        );
        assert_eq!(passed, 38);
    }

    #[test]
    fn what_is_signed_with_is_in_no_log() {
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        with_default(subscriber, || {
            tracing::trace!("listening");
            let key =
                Credentials::new("the-id", "the-secret", Some("the-session".into()), None, "");
            let signing = Signing {
                service: "s3",
                region: "auto",
                time: UNIX_EPOCH,
                encode_twice: false,
                normalize: false,
                name_payload: true,
            };
            let uri = "https://s3.test/bucket/key".to_owned();
            let added = signing
                .headers(key, "GET", uri, std::iter::empty(), EMPTY)
                .unwrap();
            assert!(added.iter().any(|(name, value, secret)| {
                *name == "x-amz-security-token" && value == "the-session" && *secret
            }));
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("listening"));
        assert!(!log.contains("the-"), "{log}");
    }
}
