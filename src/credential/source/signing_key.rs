//! The private keys that sign assertions, read from PEM and checked when they are set up, not when they are first used.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{ConfigError, credential::SourceError};

/// A private key that signs assertions: RSA of 2,048 to 8,192 bits (RS256), or P-256 (ES256).
///
/// # Example
///
/// ```no_run
/// use sallygate::credential::SigningKey;
///
/// let key = SigningKey::from_pem(std::fs::read("/run/secrets/signing.pem")?)?.key_id("2024-1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SigningKey {
    pair: Pair,
    key_id: Option<String>,
}

enum Pair {
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<rsa::KeyPair>),
}

impl SigningKey {
    /// Reads the first private key in a PEM text, in PKCS#8, PKCS#1 or SEC1, not encrypted.
    ///
    /// # Errors
    ///
    /// When there is none, or it is of another kind or size.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_ref())
            .map_err(|_| ConfigError::Credential("not a private key in PEM"))?;
        let key = Zeroizing::new(key);
        let der = key.secret_der();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let rsa = |pair| Pair::Rsa(Box::new(pair));
        let ecdsa = |pair| Pair::Ecdsa(Box::new(pair));
        let pair = match &*key {
            PrivateKeyDer::Pkcs1(_) => rsa::KeyPair::from_der(der).map(rsa),
            PrivateKeyDer::Pkcs8(_) => rsa::KeyPair::from_pkcs8(der)
                .map(rsa)
                .or_else(|_| EcdsaKeyPair::from_pkcs8(algorithm, der).map(ecdsa)),
            _ => EcdsaKeyPair::from_private_key_der(algorithm, der).map(ecdsa),
        };
        let pair = pair.map_err(|_| {
            ConfigError::Credential("not an RSA key of 2,048 to 8,192 bits, nor one on P-256")
        })?;
        Ok(Self { pair, key_id: None })
    }

    /// As above, for where only RS256 will do.
    pub(super) fn rsa_from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let key = Self::from_pem(pem)?;
        match key.pair {
            Pair::Rsa(_) => Ok(key),
            Pair::Ecdsa(_) => Err(ConfigError::Credential("not an RSA key")),
        }
    }

    /// Says which key it is, in the `kid` of what it signs. Defaults to not saying.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// A JWT with these claims (RFC 7515 §7.1).
    pub(super) fn sign(
        &self,
        claims: Map<String, Value>,
    ) -> Result<Zeroizing<String>, SourceError> {
        let algorithm = match self.pair {
            Pair::Ecdsa(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        };
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let (Some(key_id), Some(header)) = (&self.key_id, header.as_object_mut()) {
            header.insert("kid".into(), key_id.as_str().into());
        }
        let mut jwt = URL_SAFE_NO_PAD.encode(header.to_string());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(Value::from(claims).to_string(), &mut jwt);
        let signature = self.signature(jwt.as_bytes())?;
        // What was so far is no secret: only a signature makes it good for something.
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(Zeroizing::new(jwt))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SourceError> {
        let random = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        };
        signed.map_err(|_| SourceError::Other)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}
