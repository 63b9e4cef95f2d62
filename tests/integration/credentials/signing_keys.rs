use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sallygate::credential::{GitHubApp, SigningKey};
use sallygate_test_support::{Authority, Oracle};

use super::keys::{Key, pem};

#[test]
fn keys_are_taken_in_every_usual_form() {
    let oracle = Oracle::new();
    let (rsa, p256) = (Key::rsa(&oracle), Key::p256(&oracle));
    for pem in [
        rsa.pem(),
        rsa.pkcs1_pem(),
        p256.pem(),
        rsa.pem().replace('\n', "\r\n"),
        format!("Bag Attributes\n    a: b\n{}", rsa.pem()),
    ] {
        let key = SigningKey::from_pem(pem).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(***)");
    }
    assert!(GitHubApp::new("app", 1, rsa.pkcs1_pem()).is_ok());
    let error = GitHubApp::new("app", 1, p256.pem()).unwrap_err();
    assert_eq!(error.to_string(), "credential: not an RSA key");
}

#[test]
fn what_cannot_sign_is_refused_at_set_up() {
    let oracle = Oracle::new();
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
    let p384 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let rsa = Key::rsa(&oracle).pem();
    let no_pem = "credential: not a private key in PEM";
    let no_kind = "credential: not an RSA key of 2,048 to 8,192 bits, nor one on P-256";
    for (pem, problem) in [
        (String::new(), no_pem),
        ("a key".into(), no_pem),
        (rsa[..rsa.len() - 30].into(), no_pem),
        (Authority::new().pem, no_pem),
        (rsa.replace("PRIVATE", "ENCRYPTED PRIVATE"), no_pem),
        (rsa.replace("PRIVATE", "PUBLIC"), no_pem),
        (pem("PRIVATE KEY", p384.as_ref()), no_kind),
        (pem("PRIVATE KEY", ed25519.as_ref()), no_kind),
        (pem("PRIVATE KEY", b"not DER"), no_kind),
        (pem("RSA PRIVATE KEY", b""), no_kind),
        (
            pem("PRIVATE KEY", &STANDARD.decode(SHORT).unwrap()),
            no_kind,
        ),
    ] {
        let error = SigningKey::from_pem(pem).unwrap_err();
        oracle.saw_debug(&error);
        assert_eq!(error.to_string(), problem);
    }
}

/// RSA of 1,024 bits, made for this test.
const SHORT: &str = "\
MIICdQIBADANBgkqhkiG9w0BAQEFAASCAl8wggJbAgEAAoGBANBOinfjwfilv2RZ\
e4as4JKJtWl89FJbTwERpcptYWZ1iRbThxg/BxRxJr+5MpAJnGYf6i9j0sNAxKlC\
vXYTUEVQh8gYYIsUpTYksAxzTEbY+cf51+2TPDPkUQuJMRHM5FTCktfrUoyP3KVd\
GRftbjp4VdiOCarleaSp3dAbo5PnAgMBAAECgYBU3Jpmqz/bl1K4hAfh3s4ChN2G\
IyS55H70FYdwR01V225FAVnZE9xDhLFfjAhAS9oOdNQICGfVqa40sn7S+p1JU1Vq\
XB9/rwv5fn4Tqoc0JAh3RfaKyn+tjzpRVgh524c+AI2bW8i8bRj0Wczbx4mMib+s\
TfUI+4d3sdVRNPfFOQJBAPMQXopPe1mFI6hELhgDZd8fIQTeH5EXz9aPxD8nVXB4\
Hxp6j0+3tNX+vKdWUKM9fAv3B8jXOUVjNNA569xCs6UCQQDbZJ8+o04geki2oHzx\
RuDFudQHG/OG/A1PAUttkwhjH78vRBMXY82rYAnDc3esekkz3TMJFs0X0DgXQ7q6\
KGObAkBqvUmHG5hjm6ApCKflS7i03wq1BIaARSC0bLYVtcRDe7zM9/1vWJFFWHSo\
V7NZvGp5JqZ4gGtaGVLcDlORiokxAkAqITt3QtLY58KY117G0m6Naa7uoo50SGih\
2ETMyORebJVBFVh5MGApXariToUXqO/vtrV7NFa0EPcEeKwd3W2rAkAmed8RMS9J\
DY/DAyoEGC0mDL/hnAQukd06+izc07/zdnk1eemeYNIVn1j/1j4OhJgNMz8KaEwN\
BfVBS1Kgh6Hn";
