//! One spelling for every name: RFC 3986's unreserved characters as they are, everything else as `%XX`.
//!
//! Servers sign what they make of a path or a parameter once they have decoded it, so a raw `(` or `+` is signed
//! differently by different servers, and `+` is read as a space by some. Clients that sign send this spelling already
//! ("Signature Calculations for the Authorization Header", `UriEncode`): what they send stays as it is, byte for byte.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A parameter's name or value.
pub(super) fn parameter(text: &str) -> String {
    percent_encode(text.as_bytes(), UNRESERVED).to_string()
}

/// A key whose slashes are segments.
pub(super) fn key(text: &str) -> String {
    percent_encode(text.as_bytes(), PATH).to_string()
}

/// A path that is encoded already, somehow. An encoded slash is a slash: keys are compared decoded.
pub(super) fn path(encoded: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(encoded).collect();
    percent_encode(&decoded, PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_that_sign_send_stays_as_it_is() {
        for spelled in [
            "/bucket/a%20b/c%2Bd/%C3%A9/%25/x~y.z-_",
            "/bucket//a/b/",
            "/",
            "",
        ] {
            assert_eq!(path(spelled), spelled);
        }
    }

    #[test]
    fn there_is_one_spelling() {
        for (given, spelled) in [
            ("/a(b)", "/a%28b%29"),
            ("/a%28b%29", "/a%28b%29"),
            ("/a+b", "/a%2Bb"),
            ("/%61%7e%2f%c3%a9", "/a~/%C3%A9"),
            (
                "/a:b@c=d&e;f,g!h'i*j$k",
                "/a%3Ab%40c%3Dd%26e%3Bf%2Cg%21h%27i%2Aj%24k",
            ),
            ("/a%2525", "/a%2525"),
        ] {
            assert_eq!(path(given), spelled);
            assert_eq!(path(spelled), spelled);
        }
    }
}
