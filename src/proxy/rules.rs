//! What a service's configuration means to the corridor.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};

use crate::{
    Body, Context, Credential, Injection, Outcome, Target,
    body::TrailerRule,
    forward::Rules,
    proxy::config::Config,
    rejection::Reason,
    service::{Bounds, Entry},
    upstream::{
        Rewrite,
        headers::{self, Via},
    },
};

/// What the proxy decides about an admitted request, for its service: a service's `transform` injects, and a response is kept from telling
/// the credential to the caller, and from acting on the host.
pub(super) struct ServiceRules {
    config: Arc<Config>,
    entry: Arc<Entry>,
    context: Box<Context>,
    by_host: bool,
}

impl ServiceRules {
    pub(super) fn new(
        config: Arc<Config>,
        entry: Arc<Entry>,
        context: Context,
        by_host: bool,
    ) -> Self {
        Self {
            config,
            entry,
            context: Box::new(context),
            by_host,
        }
    }
}

impl Rules for ServiceRules {
    fn bounds(&self) -> &Bounds {
        &self.entry.bounds
    }

    fn via(&self) -> &Via {
        &self.config.via
    }

    fn targets(&self) -> &[Target] {
        self.entry.config.targets()
    }

    async fn ready(&self) -> Result<(), Reason> {
        for credential in self.entry.injections.iter().map(Injection::key) {
            if !credential.is_ready(self.context.now()) {
                let ready = Box::pin(credential.ready(&self.context)).await;
                ready.map_err(Reason::Credential)?;
            }
        }
        Ok(())
    }

    fn inject(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Outcome, Reason>> + Send {
        // Called at once, so that the future holds no more than the box that `transform` is.
        let transform = self.entry.config.transform(request, &self.context);
        async move { transform.await.map_err(Reason::Transform) }
    }

    fn clean(&self, headers: &mut HeaderMap, target: &Target) {
        // Before the credential is looked for: a reference that cannot be rewritten goes, key or not.
        if Rewrite::concerns(headers) {
            let public = self.config.public_prefix(&self.entry.name, self.by_host);
            Rewrite { target, public }.apply(headers);
        }
        self.context.with_injected(|injected| {
            headers::clean_response(headers, &self.entry.policy, injected)
        });
    }

    fn trailers(&self) -> TrailerRule {
        let injected = self.context.take_injected();
        Box::new(move |trailers| headers::clean_trailers(trailers, &injected))
    }

    fn may_renew(&self) -> bool {
        let mut keys = self.entry.injections.iter().map(Injection::key);
        keys.any(Credential::may_renew)
    }

    fn refuses_key(&self, response: &Response<Body>) -> bool {
        self.entry.config.refuses_key(response)
    }

    async fn renew(&self) -> bool {
        self.context.renew().await
    }

    fn redacts(&self, response: &Response<Body>) -> bool {
        let failed = |status: StatusCode| status.is_client_error() || status.is_server_error();
        self.entry.policy.redact_errors && failed(response.status())
    }

    fn redact(&self, body: Bytes) -> Bytes {
        self.context.redact(body)
    }
}
