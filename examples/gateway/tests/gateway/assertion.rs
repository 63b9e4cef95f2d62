use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use sallygate_test_support::Oracle;
use serde_json::Value;

/// The key that signs assertions, and the half of it that checks them.
pub(super) struct SigningKey {
    pub(super) pem: String,
    public: Vec<u8>,
}

impl SigningKey {
    pub(super) fn new(oracle: &Oracle) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let text = STANDARD.encode(der.as_ref());
        // The beginning is the same in all keys.
        oracle.watch("private key", &text[48..]);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let lines = lines.join("\n");
        Self {
            pem: format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    /// The claims of a JWT that this key signed.
    pub(super) fn open(&self, jwt: &str) -> Option<Value> {
        let (message, signature) = jwt.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public)
            .verify(message.as_bytes(), &signature)
            .ok()?;
        let payload = URL_SAFE_NO_PAD.decode(message.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&payload).ok()
    }
}
