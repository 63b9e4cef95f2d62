//! The OpenAI API: one key may open several accounts, so the headers that choose one are taken out.

use http::{HeaderName, Method, StatusCode};
use serde_json::json;

use crate::{
    Credential, Policy,
    rejection::Rejection,
    service::{Api, ErrorBody, Place, SandboxSetup, SetupScope, Target, known::Known, place::Kind},
};

pub(super) static KNOWN: Known = Known {
    name: "openai",
    api: Api::openai,
    client: Some("x-stainless-lang"),
    error,
    setup,
    title: "OpenAI",
    remark: "",
};

/// Which of the accounts that a key opens is used, and pays.
const ACCOUNT: [&str; 2] = ["openai-organization", "openai-project"];

/// Endpoints that manage the account, and those that hand out keys with which the API is called past the proxy.
const REFUSED: [&str; 7] = [
    "/v1/organization/**",
    "/v1/projects/**",
    "/v1/chatkit/sessions/**",
    "/v1/realtime/client_secrets",
    "/v1/realtime/sessions",
    "/v1/realtime/transcription_sessions",
    "/v1/realtime/translations/client_secrets",
];

impl Api {
    /// The OpenAI API.
    ///
    /// The token is looked for in `Authorization: Bearer` and, of a WebSocket from a browser, in the subprotocol
    /// `openai-insecure-api-key.…`. What is below `/v1` passes, but not what manages the account
    /// (`/v1/organization`, `/v1/projects`) or hands out short-lived keys (of the Realtime API and ChatKit).
    ///
    /// A key may open several organizations and projects: which one is not the caller's choice. Its
    /// `OpenAI-Organization` and `OpenAI-Project` are taken out, and [`set_header`](Self::set_header) sets yours. (That
    /// responses name the organization is the API's habit, in headers and bodies; it opens nothing.)
    ///
    /// # Example
    ///
    /// ```
    /// use http::{HeaderName, HeaderValue};
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api};
    ///
    /// let key = Credential::new("sk-0123456789")?;
    /// let project = HeaderName::from_static("openai-project");
    /// let openai = Api::openai(key).set_header(project, HeaderValue::from_static("proj_sandboxes"));
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.service("openai", openai)?;
    ///
    /// // what OpenAI's SDKs in the sandbox read
    /// let setup = proxy.handle().sandbox_setup_at("https://gate.example.com", "the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "OPENAI_API_KEY=the.token.itself\nOPENAI_BASE_URL=https://gate.example.com/proxy/openai/v1\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn openai(key: Credential) -> Self {
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::DELETE];
        let subprotocol = |prefix: &str| Place::of(Kind::Subprotocol(prefix.into()));
        // Where the Realtime API's clients in browsers put their key.
        let in_browsers = subprotocol("openai-insecure-api-key.");
        let account = ACCOUNT.map(|name| Place::header(HeaderName::from_static(name)));
        // Pages in browsers say the same in subprotocols, and a key of their own beside the token's.
        let of_pages = ["openai-organization.", "openai-project."].map(subprotocol);
        let policy = Policy::known(methods, &["/v1/**"], &REFUSED)
            .take_out(account)
            .take_out(of_pages)
            .take_out([in_browsers.clone()]);
        let target = Target::known("api.openai.com", "/");
        Self::of(&KNOWN, target, Place::bearer(), key)
            .replace_policy(policy)
            .accept(in_browsers)
    }
}

fn error(rejection: &Rejection) -> ErrorBody {
    let kind = match rejection.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    };
    let body = json!({
        "error": {
            "message": rejection.message(),
            "type": kind,
            "param": null,
            "code": rejection.code().as_str(),
            "request_id": rejection.request_id().to_string(),
        },
    });
    ErrorBody::json(body.to_string())
}

fn setup(scope: &SetupScope<'_>, _: &[Target]) -> SandboxSetup {
    SandboxSetup::new()
        .env("OPENAI_BASE_URL", format!("{}/v1", scope.base()))
        .env("OPENAI_API_KEY", scope.token())
}
