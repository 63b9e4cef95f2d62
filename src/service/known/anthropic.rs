//! The Anthropic API: its key goes into a header of its own, and the Admin API is refused.

use http::{HeaderName, Method, StatusCode};
use serde_json::json;

use crate::{
    Credential, Policy,
    rejection::Rejection,
    service::{Api, ErrorBody, Place, SandboxSetup, SetupScope, Target, known::Known},
};

pub(super) static KNOWN: Known = Known {
    name: "anthropic",
    api: Api::anthropic,
    client: Some("anthropic-version"),
    error,
    setup,
    title: "Anthropic",
    remark: "",
};

impl Api {
    /// The Anthropic API.
    ///
    /// The token is looked for in `x-api-key` and in `Authorization: Bearer`, where clients put `ANTHROPIC_API_KEY` and
    /// `ANTHROPIC_AUTH_TOKEN`. What is below `/v1` passes; the Admin API (`/v1/organizations`) and the exchange of
    /// tokens (`/v1/oauth`) do not.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api};
    ///
    /// let key = Credential::new("sk-ant-0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.service("anthropic", Api::anthropic(key))?;
    ///
    /// // what Anthropic's SDKs and Claude Code in the sandbox read
    /// let setup = proxy.handle().sandbox_setup_at("https://gate.example.com", "the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "ANTHROPIC_API_KEY=the.token.itself\nANTHROPIC_BASE_URL=https://gate.example.com/proxy/anthropic\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn anthropic(key: Credential) -> Self {
        let place = Place::header(HeaderName::from_static("x-api-key"));
        let policy = Policy::known(
            [Method::GET, Method::HEAD, Method::POST, Method::DELETE],
            &["/v1/**"],
            &["/v1/organizations/**", "/v1/oauth/**"],
        );
        let target = Target::known("api.anthropic.com", "/");
        Self::of(&KNOWN, target, place, key).replace_policy(policy)
    }
}

fn error(rejection: &Rejection) -> ErrorBody {
    let kind = match rejection.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    };
    let body = json!({
        "type": "error",
        "error": {
            "type": kind,
            "message": rejection.message(),
            "code": rejection.code().as_str(),
        },
        "request_id": rejection.request_id().to_string(),
    });
    ErrorBody::json(body.to_string())
}

fn setup(scope: &SetupScope<'_>, _: &[Target]) -> SandboxSetup {
    SandboxSetup::new()
        .env("ANTHROPIC_BASE_URL", scope.base())
        .env("ANTHROPIC_API_KEY", scope.token())
}
