//! A hand-written `ServiceConfig`: a path rule, an answer of its own, and a key chosen by what the token says.
//! Makes a call of each kind in memory, and exits.

use std::{borrow::Cow, convert::Infallible, error::Error};

use http::{HeaderName, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use sallygate::{
    Body, Context, Credential, Injection, Issuer, JwtVerifier, Outcome, Policy, ProxyLayer,
    ServiceConfig, Target, TransformError, async_trait, extract,
};
use serde::{Deserialize, Serialize};
use tower::{ServiceExt, service_fn};

/// What this host puts into its tokens beside the usual.
#[derive(Clone, Serialize, Deserialize)]
struct Plan {
    plan: String,
}

struct Models {
    target: Target,
    policy: Policy,
    /// For those that do not pay, and for those that do: in the same header.
    keys: [Injection; 2],
}

const API_KEY: HeaderName = HeaderName::from_static("x-model-key");

#[async_trait]
impl ServiceConfig for Models {
    fn target(&self) -> &Target {
        &self.target
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        extract::header(request, &API_KEY).or_else(|| extract::bearer(request))
    }

    async fn transform(
        &self,
        mut request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        if request.uri().path().ends_with("/health") {
            return Ok(Response::new(Body::from("answered here")).into());
        }
        let plan = ctx
            .claims()
            .get::<Plan>()
            .ok_or_else(TransformError::forbidden)?;
        if plan.plan != "paid" && request.method() == Method::DELETE {
            return Err(TransformError::forbidden());
        }
        let [free, paid] = &self.keys;
        let key = if plan.plan == "paid" { paid } else { free };
        key.put(&mut request, ctx)?;
        Ok(request.into())
    }

    fn injections(&self) -> &[Injection] {
        &self.keys
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let secret = "only the host knows this: 32 bytes or more";
    let models = Models {
        target: Target::new("https://models.example.com/v1")?,
        policy: Policy::new().paths(["/models/**".parse()?, "/health".parse()?]),
        keys: [
            Injection::header(API_KEY, Credential::new("sk-free-81d20c6f44aa")?),
            Injection::header(API_KEY, Credential::new("sk-paid-5b9e7310cd2f")?),
        ],
    };
    // Stands for the network: answers with the key it was given.
    let api = service_fn(|request: Request<Body>| async move {
        let key = request
            .headers()
            .get(API_KEY)
            .and_then(|key| key.to_str().ok())
            .unwrap_or("no key");
        let answer = format!("{} with {key}", request.uri());
        Ok::<_, Infallible>(Response::new(Body::from(answer)))
    });
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?.claims::<Plan>())?
        .service("models", models)?
        .client(api)
        .into_service();

    let issuer = Issuer::hs256(secret)?;
    for (plan, method, path, expected) in [
        (
            "free",
            Method::GET,
            "/proxy/models/models/small",
            StatusCode::OK,
        ),
        (
            "paid",
            Method::DELETE,
            "/proxy/models/models/small",
            StatusCode::OK,
        ),
        (
            "free",
            Method::DELETE,
            "/proxy/models/models/small",
            StatusCode::FORBIDDEN,
        ),
        (
            "free",
            Method::GET,
            "/proxy/models/keys",
            StatusCode::FORBIDDEN,
        ),
        ("free", Method::GET, "/proxy/models/health", StatusCode::OK),
    ] {
        let token = issuer
            .issue("my-sandbox")
            .claims(&Plan { plan: plan.into() })
            .sign()?;
        let request = Request::builder().method(&method).uri(path);
        let request = request.header(API_KEY, token).body(Body::empty())?;
        let response = proxy.clone().oneshot(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        println!(
            "{plan}: {method} {path}: {status} {}",
            String::from_utf8_lossy(&text)
        );
        assert_eq!(status, expected);
    }
    Ok(())
}
