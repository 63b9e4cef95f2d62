//! Finds a key in a text, raw or in the encodings that servers and clients use. It runs over every response header, and so
//! searches for all forms at once.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::memmem;
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

/// The ways in which a key may show: raw, in hexadecimal, and in base64 at any alignment; each of them also
/// percent-encoded or escaped as in JSON, in whole or in part.
pub(super) struct Redaction {
    forms: Vec<Zeroizing<Vec<u8>>>,
    shortest: usize,
}

/// A form shorter than this would be found in innocent text.
const FORM_MIN: usize = 6;

const LEVELS: usize = 4;

impl Redaction {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut forms = vec![
            key.to_vec(),
            key.iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect(),
        ];
        for offset in 0..3 {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                forms.push(inner_base64(key, offset, &engine));
            }
        }
        let mut forms: Vec<_> = forms.into_iter().map(Zeroizing::new).collect();
        // Letter case is ignored: over-redacting costs nothing.
        forms
            .iter_mut()
            .for_each(|form| form.make_ascii_lowercase());
        forms.retain(|form| form.len() >= FORM_MIN);
        let shortest = forms
            .iter()
            .map(|form| form.len())
            .min()
            .unwrap_or(usize::MAX);
        Self { forms, shortest }
    }

    pub(super) fn finds(&self, text: &[u8]) -> bool {
        if text.len() < self.shortest {
            return false;
        }
        let mut text = Zeroizing::new(text.to_ascii_lowercase());
        for _ in 0..LEVELS {
            if self
                .forms
                .iter()
                .any(|form| memmem::find(&text, form).is_some())
            {
                return true;
            }
            // Escaped in part, or over and over: JSON's backslashes, and percent signs before what they stand for.
            if !text.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
                return false;
            }
            text.retain(|byte| *byte != b'\\');
            let plain: Vec<u8> = percent_decode(&text).collect();
            text = Zeroizing::new(plain.to_ascii_lowercase());
        }
        false
    }
}

/// The base64 digits that depend on the key alone when it starts `offset` bytes into a group of three.
fn inner_base64(key: &[u8], offset: usize, engine: &impl Engine) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; offset]);
    padded.extend_from_slice(key);
    let mut digits = engine.encode(&*padded).into_bytes();
    if !padded.len().is_multiple_of(3) {
        digits.pop();
    }
    digits.drain(..(offset * 8).div_ceil(6).min(digits.len()));
    digits
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

    use super::*;

    #[test]
    fn finds_every_form_anywhere_and_nothing_else() {
        let key = "sk-live/0123+4567~89ab";
        let redaction = Redaction::new(key.as_bytes());
        for before in ["", "u", "us", "user:", "a longer beginning "] {
            for after in ["", "!", "!!", " and an end"] {
                let text = format!("{before}{key}{after}");
                assert!(redaction.finds(text.as_bytes()));
                assert!(redaction.finds(text.to_uppercase().as_bytes()));
                assert!(redaction.finds(STANDARD.encode(&text).as_bytes()), "{text}");
                assert!(
                    redaction.finds(URL_SAFE_NO_PAD.encode(&text).as_bytes()),
                    "{text}"
                );
                let percent = percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
                assert!(redaction.finds(percent.as_bytes()));
            }
        }
        let hex: String = key.bytes().map(|byte| format!("{byte:02X}")).collect();
        assert!(redaction.finds(hex.as_bytes()));
        assert!(!redaction.finds(b"sk-live/0123+4567~89ax and more of that kind"));
        assert!(!redaction.finds(b""));
    }
}
