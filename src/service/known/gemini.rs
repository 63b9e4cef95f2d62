//! The Gemini API: clients put the key into a header or into the query, and uploads begin here.

use http::{HeaderName, Method, StatusCode};
use serde_json::json;

use crate::{
    Credential, Policy,
    rejection::Rejection,
    service::{Api, ErrorBody, Place, SandboxSetup, SetupScope, Target, known::Known, place::Kind},
};

pub(super) static KNOWN: Known = Known {
    name: "gemini",
    api: Api::gemini,
    client: Some("x-goog-api-client"),
    error,
    setup,
    title: "Gemini",
    remark: "",
};

impl Api {
    /// The Gemini API (`generativelanguage.googleapis.com`).
    ///
    /// The token is looked for in `x-goog-api-key`, in `Authorization: Bearer` and in the query parameter `key`. The
    /// versions `v1`, `v1beta` and `v1alpha`, uploads and downloads pass; what hands out short-lived keys
    /// (`auth_tokens`) does not. A resumable upload, as the SDKs make them, begins here and goes on at the URL that the API
    /// names in `X-Goog-Upload-URL`, on the API's own host and without a key.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api};
    ///
    /// let key = Credential::new("AIza0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.service("gemini", Api::gemini(key))?;
    ///
    /// // what Google's SDKs and the Gemini CLI in the sandbox read
    /// let setup = proxy.handle().sandbox_setup_at("https://gate.example.com", "the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "GEMINI_API_KEY=the.token.itself\nGOOGLE_GEMINI_BASE_URL=https://gate.example.com/proxy/gemini\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn gemini(key: Credential) -> Self {
        let parameter = Place::of(Kind::Query("key".into()));
        let policy = Policy::known(
            [
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ],
            &[
                "/v1/**",
                "/v1alpha/**",
                "/v1beta/**",
                "/upload/**",
                "/download/**",
            ],
            &["/*/auth_tokens/**", "/*/authTokens/**"],
        );
        let place = Place::header(HeaderName::from_static("x-goog-api-key"));
        let target = Target::known("generativelanguage.googleapis.com", "/");
        Self::of(&KNOWN, target, place, key)
            .replace_policy(policy.take_out([parameter.clone()]).redact_errors())
            .accept(parameter)
    }
}

/// As google.rpc has it: <https://google.aip.dev/193>.
fn error(rejection: &Rejection) -> ErrorBody {
    let status = match rejection.status() {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
        StatusCode::NOT_IMPLEMENTED => "UNIMPLEMENTED",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
        status if status.is_client_error() => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    };
    let body = json!({
        "error": {
            "code": rejection.status().as_u16(),
            "message": rejection.message(),
            "status": status,
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": rejection.code().as_str(),
                    "domain": "sallygate",
                },
                {
                    "@type": "type.googleapis.com/google.rpc.RequestInfo",
                    "requestId": rejection.request_id().to_string(),
                },
            ],
        },
    });
    ErrorBody::json(body.to_string())
}

fn setup(scope: &SetupScope<'_>, _: &[Target]) -> SandboxSetup {
    // Not GOOGLE_API_KEY as well: the SDKs warn where both are set.
    SandboxSetup::new()
        .env("GOOGLE_GEMINI_BASE_URL", scope.base())
        .env("GEMINI_API_KEY", scope.token())
}
