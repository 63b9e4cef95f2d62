use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::Response;
use percent_encoding::percent_decode_str;
use sallygate::Body;
use sallygate_test_support::{Oracle, Recorded, Slot, Stack};
use serde_json::json;

use super::{
    endpoint::{Call, json as say_json},
    keys::{Assertion, Key},
};

/// The client's name, with what must be encoded in Basic and in a form.
pub(super) const CLIENT: &str = "client:1 é&=%+@example.test";

/// What the token endpoint knows: whom it trusts, and what it gave to whom.
#[derive(Default)]
pub(super) struct Ledger {
    secrets: OnceLock<Secrets>,
    upstream: OnceLock<Weak<Stack>>,
    issued: Mutex<Vec<String>>,
    revoked: Mutex<HashSet<String>>,
    refresh_token: Mutex<String>,
    ids: Mutex<HashSet<String>>,
    complaints: Mutex<Vec<String>>,
    life: AtomicU64,
    refuse_all: AtomicBool,
}

pub(super) struct Secrets {
    pub(super) client_secret: String,
    pub(super) key: Key,
}

type Checked<T> = Result<T, String>;

impl Ledger {
    pub(super) fn new() -> Arc<Self> {
        let ledger = Self::default();
        ledger.live(3600);
        Arc::new(ledger)
    }

    /// Makes the secrets. What is issued is taken by the upstream of `stack`.
    pub(super) fn prepare(&self, stack: &Arc<Stack>) {
        let oracle = &stack.oracle;
        assert!(self.upstream.set(Arc::downgrade(stack)).is_ok());
        *self.refresh_token.lock().unwrap() = oracle.secret("refresh token");
        let secrets = Secrets {
            client_secret: oracle.secret("client secret"),
            key: Key::rsa(oracle),
        };
        assert!(self.secrets.set(secrets).is_ok());
    }

    pub(super) fn secrets(&self) -> &Secrets {
        self.secrets.get().unwrap()
    }

    pub(super) fn refresh_token(&self) -> String {
        self.refresh_token.lock().unwrap().clone()
    }

    /// How many seconds the next tokens live.
    pub(super) fn live(&self, seconds: u64) {
        self.life.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn issued(&self) -> Vec<String> {
        self.issued.lock().unwrap().clone()
    }

    /// What was wrong with what the endpoint was asked.
    pub(super) fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.complaints.lock().unwrap())
    }

    /// Makes the upstream refuse all tokens that there are.
    pub(super) fn revoke(&self) {
        let issued = self.issued();
        self.revoked.lock().unwrap().extend(issued);
    }

    /// Makes the upstream refuse the first token.
    pub(super) fn revoke_first(&self) {
        let first = self.issued()[0].clone();
        self.revoked.lock().unwrap().insert(first);
    }

    /// Makes the upstream refuse every token.
    pub(super) fn refuse_all(&self, refuse: bool) {
        self.refuse_all.store(refuse, Ordering::SeqCst);
    }

    /// Takes a token that another endpoint issued for one of its own.
    pub(super) fn know(&self, token: String) {
        self.issue(token);
    }

    /// Which token a request bears; the first is 1.
    pub(super) fn number(&self, request: &Recorded) -> Option<usize> {
        let values = request.values("authorization");
        let [value] = values[..] else { return None };
        let token = value.strip_prefix("Bearer ")?;
        let issued = self.issued.lock().unwrap();
        Some(issued.iter().position(|known| known == token)? + 1)
    }

    /// Whether the upstream refuses what a request bears.
    pub(super) fn refuses(&self, request: &Recorded) -> bool {
        let number = self.number(request).expect("an unknown token");
        let token = &self.issued.lock().unwrap()[number - 1];
        let refused = self.refuse_all.load(Ordering::SeqCst);
        refused || self.revoked.lock().unwrap().contains(token)
    }

    /// What the endpoint says.
    pub(super) fn answer(&self, call: &Call, oracle: &Oracle, now: SystemTime) -> Response<Body> {
        let answer = match call.line.as_str() {
            "POST /token" => self.oauth(call, oracle, now),
            "POST /google" => self.google(call, oracle, now),
            "POST /api/v3/app/installations/77/access_tokens" => self.github(call, oracle, now),
            line => Err(format!("asked for {line}")),
        };
        answer.unwrap_or_else(|complaint| {
            self.complaints.lock().unwrap().push(complaint);
            say_json(400, json!({ "error": "invalid_request" }))
        })
    }

    fn oauth(&self, call: &Call, oracle: &Oracle, now: SystemTime) -> Checked<Response<Body>> {
        let form = call.form();
        let names: Vec<_> = form.keys().map(String::as_str).collect();
        let mut extra = json!({});
        match form["grant_type"].as_str() {
            "client_credentials" => {
                check(names == ["grant_type"], "the form is wrong")?;
                self.check_client(call)?;
            }
            "refresh_token" => {
                check(
                    names == ["grant_type", "refresh_token"],
                    "the form is wrong",
                )?;
                self.check_client(call)?;
                let mut current = self.refresh_token.lock().unwrap();
                check(form["refresh_token"] == *current, "an old refresh token")?;
                *current = oracle.secret("refresh token, rotated");
                extra = json!({ "refresh_token": *current });
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                check(names == ["assertion", "grant_type"], "the form is wrong")?;
                check(call.header("authorization").is_none(), "a client was named")?;
                let Assertion { claims, .. } = self.assertion(&form["assertion"], oracle, now)?;
                let own = format!("http://{}/token", call.header("host").unwrap());
                check(claims["aud"] == own, "for another")?;
                check(claims["sub"] == "user@example.test", "about another")?;
                let id = claims["jti"].as_str().unwrap_or_default().to_owned();
                check(id.len() >= 16, "the id is short")?;
                check(self.ids.lock().unwrap().insert(id), "seen before")?;
            }
            _ => return Err("an unknown grant".into()),
        }
        let mut body = json!({
            "access_token": self.issue(oracle.secret("access token")),
            "token_type": "bearer",
            "expires_in": self.life.load(Ordering::SeqCst),
        });
        let extra = extra.as_object_mut().unwrap();
        body.as_object_mut().unwrap().append(extra);
        Ok(say_json(200, body))
    }

    fn google(&self, call: &Call, oracle: &Oracle, now: SystemTime) -> Checked<Response<Body>> {
        let form = call.form();
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        check(
            form["grant_type"] == grant && form.len() == 2,
            "the form is wrong",
        )?;
        let Assertion { header, claims } = self.assertion(&form["assertion"], oracle, now)?;
        check(header["kid"] == "key-7", "another key")?;
        let own = "https://oauth2.example.test/token";
        check(claims["aud"] == own, "for another")?;
        let life = self.life.load(Ordering::SeqCst);
        if claims["scope"] == "scope-a scope-b" {
            return Ok(say_json(
                200,
                json!({
                    "access_token": self.issue(oracle.secret("access token")),
                    "token_type": "Bearer",
                    "expires_in": life,
                }),
            ));
        }
        let wish = claims["target_audience"] == "https://audience.test";
        check(wish, "neither scopes nor an audience")?;
        let payload = json!({
            "a": oracle.secret("id token payload"),
            "exp": seconds(now) + life,
        });
        let id_token = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
            URL_SAFE_NO_PAD.encode(payload.to_string()),
            URL_SAFE_NO_PAD.encode(oracle.secret("id token signature")),
        );
        oracle.watch_token(&id_token);
        Ok(say_json(200, json!({ "id_token": self.issue(id_token) })))
    }

    fn github(&self, call: &Call, oracle: &Oracle, now: SystemTime) -> Checked<Response<Body>> {
        for (name, value) in [
            ("accept", "application/vnd.github+json"),
            ("content-type", "application/json"),
            ("x-github-api-version", "2022-11-28"),
        ] {
            check(call.header(name) == Some(value), name)?;
        }
        let agent = call.header("user-agent").unwrap_or_default();
        check(agent.starts_with("sallygate/"), "no user agent")?;
        let bearer = call.header("authorization").unwrap_or_default();
        let jwt = bearer.strip_prefix("Bearer ").unwrap_or_default();
        let Assertion { claims, .. } = self.assertion(jwt, oracle, now)?;
        let mut names: Vec<_> = claims.as_object().unwrap().keys().collect();
        names.sort();
        check(names == ["exp", "iat", "iss"], "other claims")?;
        check(
            claims["iat"] == seconds(now) - 60,
            "not dated back a minute",
        )?;
        let life = self.life.load(Ordering::SeqCst);
        let expires_at = rfc3339(seconds(now) + life);
        let mut body = json!({
            "token": self.issue(oracle.secret("installation token")),
            "expires_at": expires_at,
            "permissions": { "contents": "read" },
            "repository_selection": "selected",
        });
        if call.body.contains("repositories") {
            // As much as GitHub says about each.
            let about = vec![json!({ "description": "d".repeat(6000) }); 100];
            body["repositories"] = about.into();
        }
        Ok(say_json(201, body))
    }

    fn issue(&self, token: String) -> String {
        let stack = self.upstream.get().unwrap().upgrade().unwrap();
        stack.upstream.accept(Slot::Bearer.show(&token));
        self.issued.lock().unwrap().push(token.clone());
        token
    }

    fn check_client(&self, call: &Call) -> Checked<()> {
        let basic = call.header("authorization").unwrap_or_default();
        let pair = basic.strip_prefix("Basic ").ok_or("no Basic")?;
        let pair = STANDARD.decode(pair).map_err(|_| "not base64")?;
        let pair = String::from_utf8(pair).map_err(|_| "no text")?;
        let (id, secret) = pair.split_once(':').ok_or("no pair")?;
        let decoded = |text| percent_decode_str(text).decode_utf8().unwrap();
        check(decoded(id) == CLIENT, "another client")?;
        check(
            decoded(secret) == self.secrets().client_secret,
            "the secret is wrong",
        )
    }

    fn assertion(&self, jwt: &str, oracle: &Oracle, now: SystemTime) -> Checked<Assertion> {
        let assertion = self.secrets().key.open(jwt)?;
        oracle.watch_token(jwt);
        check(assertion.claims["iss"] == CLIENT, "another issuer")?;
        let time = |name: &str| assertion.claims[name].as_u64().unwrap_or_default();
        let (iat, exp, now) = (time("iat"), time("exp"), seconds(now));
        let dated = (now - 60..=now).contains(&iat) && (now + 60..=now + 600).contains(&exp);
        check(dated && exp - iat <= 600, "dated wrongly")?;
        Ok(assertion)
    }
}

fn check(good: bool, complaint: &str) -> Checked<()> {
    good.then_some(()).ok_or_else(|| complaint.to_owned())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// As GitHub writes it.
fn rfc3339(seconds: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut days, mut year) = (seconds / 86_400, 1970);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
