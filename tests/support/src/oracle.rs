use std::{
    collections::HashMap,
    fmt::{Debug, Display, Write as _},
    io::{self, Read},
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use flate2::read::GzDecoder;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// Shortest piece of a secret that counts as a leak.
const WINDOW: usize = 12;

type Window = [u8; WINDOW];

/// Looks for secrets wherever they must not be: in what the caller got, in the log at trace level, in panics, in
/// `Debug` and `Display`, and at every upstream but the credential's own.
///
/// Every secret is random and fresh, so tests may run side by side and share one log. Each is searched for with letter
/// case ignored: any twelve characters of it raw, reversed, in hexadecimal, percent-encoded, as JSON writes it, and in
/// base64 at any alignment in both alphabets.
///
/// It looks when it is dropped.
pub struct Oracle {
    log_from: usize,
    windows: Mutex<Windows>,
    evidence: Mutex<Vec<(String, Vec<u8>)>>,
}

#[derive(Default)]
struct Windows {
    by_bytes: HashMap<Window, (&'static str, &'static str)>,
    /// Which beginnings occur, so that most positions need no look-up.
    beginnings: Vec<bool>,
}

/// Where a credential stands in a request to its own upstream: the one place where it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The password of basic authentication, with this user.
    Basic(&'static str),
    /// A bearer token.
    Bearer,
    /// A header of this name, bare.
    Header(&'static str),
    /// A query parameter of this name.
    Query(&'static str),
}

impl Slot {
    /// The bytes on the wire, with enough around them that they are nothing else.
    pub fn show(self, key: &str) -> String {
        match self {
            Self::Basic(user) => {
                let pair = STANDARD.encode(format!("{user}:{key}"));
                format!("\r\nauthorization: Basic {pair}\r\n")
            }
            Self::Bearer => format!("\r\nauthorization: Bearer {key}\r\n"),
            Self::Header(name) => format!("\r\n{name}: {key}\r\n"),
            Self::Query(name) => format!("{name}={}", percent_unreserved(key)),
        }
    }
}

/// As RFC 3986 would have it.
fn percent_unreserved(text: &str) -> String {
    const SET: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    percent_encode(text.as_bytes(), SET).to_string()
}

impl Oracle {
    /// Begins to look; also in the log, from now on.
    pub fn new() -> Arc<Self> {
        listen();
        Arc::new(Self {
            log_from: lock(&LOG).len(),
            windows: Mutex::default(),
            evidence: Mutex::default(),
        })
    }

    /// Makes a secret that is looked for from now on.
    pub fn secret(&self, name: &'static str) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let secret: String = random::<48>()
            .iter()
            .map(|byte| char::from(LETTERS[usize::from(byte % 64)]))
            .collect();
        self.watch(name, &secret);
        secret
    }

    /// Makes a secret of characters that may stand in a list of subprotocols.
    pub fn listable_secret(&self) -> String {
        let key = self.secret("credential").replace(['+', '/'], "-");
        self.watch("credential", &key);
        key
    }

    /// Looks for `secret` from now on. It must be random: any twelve characters of it count.
    pub fn watch(&self, name: &'static str, secret: &str) {
        let mut windows = lock(&self.windows);
        for (form, text) in forms(secret.as_bytes()) {
            windows.add(name, form, &text);
        }
    }

    /// Looks for a token from now on. The header of a JWT is the same for all of them, and no secret.
    pub fn watch_token(&self, token: &str) {
        let parts: Vec<_> = token.split('.').collect();
        match parts[..] {
            [_, payload, signature] => {
                self.watch("token payload", payload);
                self.watch("token signature", signature);
            }
            _ => self.watch("token", token),
        }
    }

    /// Takes something in which there must be no secret.
    pub fn saw(&self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        lock(&self.evidence).push((place.into(), bytes.into()));
    }

    /// Takes the `Debug` of a value.
    pub fn saw_debug(&self, value: &impl Debug) {
        self.saw("Debug", format!("{value:?} {value:#?}"));
    }

    /// Takes the `Display` of a value.
    pub fn saw_display(&self, value: &impl Display) {
        self.saw("Display", format!("{value}"));
    }

    /// Takes a request as an upstream got it. Of `own`, the credential may stand in its slot, once.
    pub fn saw_request(&self, place: &str, raw: &[u8], own: &[String]) {
        let mut rest = raw.to_vec();
        for slot in own {
            if let Some(at) = memchr::memmem::find(&rest, slot.as_bytes()) {
                rest.drain(at..at + slot.len());
                break;
            }
        }
        self.saw(format!("request to {place}"), rest);
    }

    /// All leaks so far: which secret, in which form, where. Never the secret itself.
    pub fn leaks(&self) -> Vec<String> {
        let windows = lock(&self.windows);
        let mut leaks = Vec::new();
        windows.find("log", &lock(&LOG)[self.log_from..], &mut leaks);
        for (place, bytes) in lock(&self.evidence).iter() {
            windows.find(place, bytes, &mut leaks);
            for at in memchr::memmem::find_iter(bytes, b"\x1f\x8b\x08") {
                let mut plain = Vec::new();
                let _ = GzDecoder::new(&bytes[at..])
                    .take(16 << 20)
                    .read_to_end(&mut plain);
                windows.find(&format!("{place}, after gunzip"), &plain, &mut leaks);
            }
        }
        leaks.sort();
        leaks.dedup();
        leaks
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let leaks = self.leaks();
            assert!(leaks.is_empty(), "leaked: {leaks:#?}");
        }
    }
}

impl Windows {
    fn add(&mut self, name: &'static str, form: &'static str, text: &[u8]) {
        self.beginnings.resize(1 << 16, false);
        for window in text.to_ascii_lowercase().windows(WINDOW) {
            let first = window[..4]
                .iter()
                .fold(0, |last, byte| last << 8 | u32::from(*byte));
            self.beginnings[mixed(first)] = true;
            let window = Window::try_from(window).unwrap();
            self.by_bytes.entry(window).or_insert((name, form));
        }
    }

    fn find(&self, place: &str, text: &[u8], leaks: &mut Vec<String>) {
        if self.by_bytes.is_empty() {
            return;
        }
        let text = text.to_ascii_lowercase();
        let mut last = 0;
        for (at, byte) in text.iter().enumerate() {
            last = last << 8 | u32::from(*byte);
            if self.beginnings[mixed(last)]
                && let Some(window) = text
                    .get((at + 1).saturating_sub(4)..)
                    .and_then(|rest| rest.get(..WINDOW))
                && let Some((name, form)) = self.by_bytes.get(window)
            {
                leaks.push(format!("{name}, {form}, in {place}"));
            }
        }
    }
}

/// Four bytes mixed into sixteen bits: two alone would be met everywhere.
fn mixed(four: u32) -> usize {
    (four.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = secret.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let text = String::from_utf8_lossy(secret);
    let json = serde_json::to_string(&text).unwrap();
    let mut forms = vec![
        ("raw", secret.to_vec()),
        ("reversed", secret.iter().rev().copied().collect()),
        ("hexadecimal", hex.into_bytes()),
        (
            "percent-encoded",
            percent_encode(secret, NON_ALPHANUMERIC)
                .to_string()
                .into_bytes(),
        ),
        ("percent-encoded", percent_unreserved(&text).into_bytes()),
        ("as JSON", json.trim_matches('"').as_bytes().to_vec()),
        (
            "as JSON",
            json.replace('/', "\\/")
                .trim_matches('"')
                .as_bytes()
                .to_vec(),
        ),
    ];
    for offset in 0..3 {
        for engine in [STANDARD, URL_SAFE] {
            // The digits that depend on the secret alone.
            let padded = [&vec![0; offset], secret].concat();
            let mut digits = engine.encode(&padded).into_bytes();
            digits.truncate(padded.len() * 8 / 6);
            digits.drain(..(offset * 8).div_ceil(6));
            forms.push(("base64", digits));
        }
    }
    forms
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .unwrap();
    bytes
}

/// Everything that this process has logged, at trace level, and the text of its panics.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&LOG).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Log)
            .init();
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            lock(&LOG).extend_from_slice(panic.to_string().as_bytes());
            report(panic);
        }));
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
