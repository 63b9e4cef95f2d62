//! The Stripe API: clients put the key into Bearer or into the user name of Basic.

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    Credential, Policy,
    rejection::Rejection,
    service::{Api, ErrorBody, Place, SandboxSetup, SetupScope, Target, known::Known},
};

pub(super) static KNOWN: Known = Known {
    name: "stripe",
    api: Api::stripe,
    client: Some("stripe-version"),
    error,
    setup,
    title: "Stripe",
    remark: r#". Stripe's SDKs read no base URL: `StripeClient(key, base_addresses={"api": …})`"#,
};

impl Api {
    /// The Stripe API.
    ///
    /// The token is looked for in `Authorization: Bearer` and as the user name of Basic (`curl -u token:`). What is below
    /// `/v1` and `/v2` passes; what hands out short-lived keys (`/v1/ephemeral_keys`, `/v1/account_sessions`, `/v1/customer_sessions`,
    /// `/v1/terminal/connection_tokens`, `/v2/iam`) and the store of secrets
    /// (`/v1/apps/secrets`) do not. A platform's key acts for its connected accounts, too: `Stripe-Account` passes.
    ///
    /// Files are uploaded to another host: add `Api::stripe(key).with_target(Target::new("https://files.stripe.com")?)`
    /// under another name.
    ///
    /// Stripe's SDKs read no base URL from the environment: give them `STRIPE_API_BASE` in code.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api};
    ///
    /// let key = Credential::new("sk_test_0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.service("stripe", Api::stripe(key))?;
    ///
    /// // stripe.StripeClient(environ["STRIPE_API_KEY"], base_addresses={"api": environ["STRIPE_API_BASE"]})
    /// let setup = proxy.handle().sandbox_setup_at("https://gate.example.com", "the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "STRIPE_API_BASE=https://gate.example.com/proxy/stripe\nSTRIPE_API_KEY=the.token.itself\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn stripe(key: Credential) -> Self {
        let policy = Policy::known(
            [Method::GET, Method::HEAD, Method::POST, Method::DELETE],
            &["/v1/**", "/v2/**"],
            &[
                "/v1/account_sessions/**",
                "/v1/apps/secrets/**",
                "/v1/customer_sessions/**",
                "/v1/ephemeral_keys/**",
                "/v1/terminal/connection_tokens/**",
                "/v2/iam/**",
            ],
        );
        let target = Target::known("api.stripe.com", "/");
        Self::of(&KNOWN, target, Place::bearer(), key)
            .replace_policy(policy)
            .accept(Place::basic_user())
    }
}

fn error(rejection: &Rejection) -> ErrorBody {
    let kind = match rejection.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    };
    let body = json!({
        "error": {
            "type": kind,
            "message": rejection.message(),
            "code": rejection.code().as_str(),
            "request_id": rejection.request_id().to_string(),
        },
    });
    ErrorBody::json(body.to_string())
}

fn setup(scope: &SetupScope<'_>, _: &[Target]) -> SandboxSetup {
    SandboxSetup::new()
        .env("STRIPE_API_BASE", scope.base())
        .env("STRIPE_API_KEY", scope.token())
}
