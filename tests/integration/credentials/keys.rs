use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use sallygate_test_support::Oracle;
use serde_json::Value;

/// A key pair for assertions: the private half as text, the public half to check with.
pub(super) struct Key {
    pub(super) algorithm: &'static str,
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

/// An assertion whose signature is good.
#[derive(Debug, Clone)]
pub(super) struct Assertion {
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl Key {
    pub(super) fn rsa(oracle: &Oracle) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        Self {
            algorithm: "RS256",
            pkcs8: pkcs8.as_ref().to_vec(),
            public: pair.public_key().as_ref().to_vec(),
        }
        .watched(oracle)
    }

    pub(super) fn p256(oracle: &Oracle) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        Self {
            algorithm: "ES256",
            pkcs8: pkcs8.as_ref().to_vec(),
            public: pair.public_key().as_ref().to_vec(),
        }
        .watched(oracle)
    }

    /// As it stands in a file, and in a line; without the beginning, which is the same in every key.
    fn watched(self, oracle: &Oracle) -> Self {
        const SAME: usize = 48;
        oracle.watch("private key", &STANDARD.encode(&self.pkcs8)[SAME..]);
        let pem = self.pem();
        for line in pem.lines().skip(2).filter(|line| !line.starts_with('-')) {
            oracle.watch("private key, a line", line);
        }
        self
    }

    pub(super) fn pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// The older form of an RSA key, which GitHub gives out.
    pub(super) fn pkcs1_pem(&self) -> String {
        // Behind the version, the algorithm and the head of an octet string.
        pem("RSA PRIVATE KEY", &self.pkcs8[26..])
    }

    /// The JWT, if this key signed it and says so.
    pub(super) fn open(&self, jwt: &str) -> Result<Assertion, &'static str> {
        let (message, signature) = jwt.rsplit_once('.').ok_or("no JWT")?;
        let (header, payload) = message.split_once('.').ok_or("no JWT")?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64url");
        let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm {
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            _ => &ECDSA_P256_SHA256_FIXED,
        };
        UnparsedPublicKey::new(algorithm, &self.public)
            .verify(message.as_bytes(), &decode(signature)?)
            .map_err(|_| "the signature is wrong")?;
        let json = |part: &str| serde_json::from_slice(&decode(part)?).map_err(|_| "not JSON");
        let (header, claims): (Value, Value) = (json(header)?, json(payload)?);
        if header["alg"] != self.algorithm || header["typ"] != "JWT" {
            return Err("the header is wrong");
        }
        Ok(Assertion { header, claims })
    }
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
