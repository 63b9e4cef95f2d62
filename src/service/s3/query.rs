//! The query of a request, decoded once, so that what is checked is what is sent.

use percent_encoding::percent_decode_str;

use super::{encoding, refusal::Refusal};
use crate::TransformError;

/// The parameters of a request, decoded. None is there twice.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, Option<String>)>);

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, TransformError> {
        let mut parameters: Vec<(String, Option<String>)> = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (decode(name)?, Some(decode(value)?)),
                None => (decode(parameter)?, None),
            };
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::bad(
                    "InvalidArgument",
                    "A query parameter is there twice",
                ));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        value.as_deref()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Takes out everything that begins with `X-Amz-`, in whatever case: names in lower case, and values.
    pub(super) fn take_amz(&mut self) -> Vec<(String, String)> {
        let is_amz = |name: &str| {
            let start = name.get(..6);
            start.is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
        };
        self.0
            .extract_if(.., |(name, _)| is_amz(name))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.unwrap_or_default()))
            .collect()
    }

    /// As it is sent, and signed.
    pub(super) fn encode(&self) -> Option<String> {
        let parameter = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!(
                "{}={}",
                encoding::parameter(name),
                encoding::parameter(value)
            ),
            None => encoding::parameter(name),
        };
        let parameters: Vec<_> = self.0.iter().map(parameter).collect();
        (!parameters.is_empty()).then(|| parameters.join("&"))
    }
}

/// In a query, S3 reads `+` as a space.
fn decode(text: &str) -> Result<String, TransformError> {
    let text = text.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8();
    text.map(Into::into)
        .map_err(|_| Refusal::bad("InvalidURI", "A query parameter is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_one_spelling() {
        for (given, spelled) in [
            ("list-type=2&prefix=a%2Fb", "list-type=2&prefix=a%2Fb"),
            ("delete", "delete"),
            ("delete=", "delete="),
            ("prefix=a/b+c&&x=%7e", "prefix=a%2Fb%20c&x=~"),
            ("%70refix=a;prefix=b", "prefix=a%3Bprefix%3Db"),
        ] {
            let query = Query::parse(given).unwrap();
            assert_eq!(query.encode().as_deref(), Some(spelled));
        }
        assert_eq!(Query::parse("").unwrap().encode(), None);
        assert!(Query::parse("a=1&%61=2").is_err());
        assert!(Query::parse("a=%ff").is_err());
    }
}
