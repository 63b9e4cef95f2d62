//! The Slack Web API: its methods are paths, and some of them hand out tokens or connections.

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    Credential, Policy,
    rejection::Rejection,
    service::{Api, ErrorBody, Place, SandboxSetup, SetupScope, Target, known::Known, place::Kind},
};

pub(super) static KNOWN: Known = Known {
    name: "slack",
    api: Api::slack,
    client: None,
    error,
    setup,
    title: "Slack",
    remark: ". Slack's SDKs read neither: `WebClient(base_url=…, token=…)`",
};

/// Methods that hand out tokens, or a connection that needs none, and those that end the token.
const REFUSED: [&str; 12] = [
    "/apps.auth.external.get",
    "/apps.connections.open",
    "/apps.uninstall",
    "/auth.revoke",
    "/oauth.access",
    "/oauth.token",
    "/oauth.v2.access",
    "/oauth.v2.exchange",
    "/openid.connect.token",
    "/rtm.connect",
    "/rtm.start",
    "/tooling.tokens.rotate",
];

impl Api {
    /// The Slack Web API: its methods are the paths, `/chat.postMessage`.
    ///
    /// The token is looked for in `Authorization: Bearer` and in the query parameter `token`. Bodies are not read: a token
    /// in a form is not found. Methods that hand out tokens or connections (`oauth.*`, `rtm.*`, `apps.connections.open`)
    /// and those that end the token (`auth.revoke`, `apps.uninstall`) are refused. Files go to a URL that the API names,
    /// on another host.
    ///
    /// Slack's SDKs read no base URL from the environment: give them `SLACK_API_URL` in code.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api};
    ///
    /// let key = Credential::new("xoxb-0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.service("slack", Api::slack(key))?;
    ///
    /// // WebClient(token=environ["SLACK_BOT_TOKEN"], base_url=environ["SLACK_API_URL"])
    /// let setup = proxy.handle().sandbox_setup_at("https://gate.example.com", "the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "SLACK_API_URL=https://gate.example.com/proxy/slack/\nSLACK_BOT_TOKEN=the.token.itself\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn slack(key: Credential) -> Self {
        let parameter = Place::of(Kind::Query("token".into()));
        let policy = Policy::known([Method::GET, Method::POST], &["/*"], &REFUSED);
        let target = Target::known("slack.com", "/api");
        Self::of(&KNOWN, target, Place::bearer(), key)
            .replace_policy(policy.take_out([parameter.clone()]).redact_errors())
            .accept(parameter)
    }
}

fn error(rejection: &Rejection) -> ErrorBody {
    let error = match rejection.status() {
        StatusCode::UNAUTHORIZED => "invalid_auth",
        StatusCode::FORBIDDEN => "access_denied",
        StatusCode::NOT_FOUND => "unknown_method",
        StatusCode::TOO_MANY_REQUESTS => "ratelimited",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "service_unavailable",
        StatusCode::GATEWAY_TIMEOUT => "request_timeout",
        status if status.is_client_error() => "invalid_arguments",
        _ => "internal_error",
    };
    let body = json!({
        "ok": false,
        "error": error,
        "response_metadata": { "messages": [format!("[ERROR] {}", rejection.message())] },
        "code": rejection.code().as_str(),
        "request_id": rejection.request_id().to_string(),
    });
    ErrorBody::json(body.to_string())
}

fn setup(scope: &SetupScope<'_>, _: &[Target]) -> SandboxSetup {
    SandboxSetup::new()
        // Some clients put the method right behind it.
        .env("SLACK_API_URL", format!("{}/", scope.base()))
        .env("SLACK_BOT_TOKEN", scope.token())
}
