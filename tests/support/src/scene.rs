use std::{
    mem,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use hyper::body::Incoming;
use sallygate::{
    Api, Body, Client, Limits, Policy, ProxyLayer, Revocations, ServiceConfig, Target,
    door::Rejection, proxy::Handle,
};
use tower::ServiceExt;

use crate::{Front, Stack};

/// A stack whose proxy is served, and what its tests need at hand.
///
/// [`Stack::scene`] begins one. `U` is what stands behind the service, where that is not the stack's own upstream.
pub struct Scene<U = ()> {
    /// The proxy, served.
    pub front: Front,
    /// Of the proxy.
    pub handle: Handle,
    /// Those that the proxy asks. Their clock is the stack's.
    pub revocations: Revocations,
    /// A good token of a sandbox of its own.
    pub token: String,
    /// What [`Setup::before`] was given.
    pub upstream: U,
    /// Everything else: the stack's upstream, the oracle, the clock, the issuer.
    pub stack: Stack,
    reasons: Arc<Mutex<Vec<String>>>,
}

impl<U> Scene<U> {
    /// A good token for this sandbox.
    pub fn token_of(&self, sandbox: &str) -> String {
        let draft = self.stack.issuer.issue(sandbox);
        self.stack.watched(draft.sign().unwrap())
    }

    /// The request of a sandbox that nothing else is said of passes.
    pub async fn is_good(&self) {
        let token = self.token_of("box-good");
        let answer = self.front.get("/proxy/svc/a", &token).send().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
    }

    /// Why the proxy has refused requests so far; forgotten once they are read.
    pub fn reasons(&self) -> String {
        mem::take(&mut *self.reasons.lock().unwrap()).join(", ")
    }
}

/// What differs from the usual in a [`Scene`].
#[must_use = "nothing is served before `start`"]
pub struct Setup<U = ()> {
    stack: Stack,
    upstream: U,
    name: &'static str,
    api: Api,
    config: Option<Register>,
    changes: Vec<Change>,
}

type Register = Box<dyn FnOnce(&Stack, &str) -> ProxyLayer>;
type Change = Box<dyn FnOnce(&Stack, ProxyLayer) -> ProxyLayer>;

impl Setup {
    pub(crate) fn new(stack: Stack) -> Self {
        Self {
            api: stack.svc(),
            stack,
            upstream: (),
            name: "svc",
            config: None,
            changes: Vec::new(),
        }
    }

    /// What stands behind the service instead of the stack's upstream, at `target`. It is the scene's `upstream`.
    pub fn before<U>(self, upstream: U, target: Target) -> Setup<U> {
        Setup {
            stack: self.stack,
            upstream,
            name: self.name,
            api: self.api.with_target(target),
            config: self.config,
            changes: self.changes,
        }
    }
}

impl<U> Setup<U> {
    /// The name of the service. Defaults to `svc`.
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Where requests go, whatever stands there.
    pub fn target(self, target: Target) -> Self {
        self.api(|api| api.with_target(target))
    }

    /// The policy of the service.
    pub fn policy(self, policy: Policy) -> Self {
        self.api(|api| api.replace_policy(policy))
    }

    /// Changes the service: by default a bearer key for the upstream.
    pub fn api(mut self, change: impl FnOnce(Api) -> Api) -> Self {
        self.api = change(self.api);
        self
    }

    /// A service of another kind, in place of all that was said of it.
    pub fn service(mut self, config: impl ServiceConfig) -> Self {
        self.config = Some(Box::new(move |stack, name| stack.layer_with(name, config)));
        self
    }

    /// The limits of the proxy.
    pub fn limits(self, limits: Limits) -> Self {
        self.layer(move |_, layer| layer.limits(limits))
    }

    /// The proxy's way out.
    pub fn client(self, client: Client) -> Self {
        self.layer(move |_, layer| layer.client(client))
    }

    /// Changes the proxy in any other way.
    pub fn layer(
        mut self,
        change: impl FnOnce(&Stack, ProxyLayer) -> ProxyLayer + 'static,
    ) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Serves it.
    pub async fn start(self) -> Scene<U> {
        let stack = self.stack;
        let clock = stack.clock.clone();
        let revocations = Revocations::new().clock(move || clock.now());
        let layer = match self.config {
            Some(register) => register(&stack, self.name),
            None => stack.layer_with(self.name, self.api),
        };
        let layer = layer.revocations(&revocations);
        let layer = self
            .changes
            .into_iter()
            .fold(layer, |layer, change| change(&stack, layer));
        let reasons: Arc<Mutex<Vec<String>>> = Arc::default();
        let note = reasons.clone();
        let handle = layer.handle();
        let service = ServiceExt::<Request<Incoming>>::map_response(
            layer.into_service(),
            move |response: Response<Body>| {
                if let Some(rejection) = response.extensions().get::<Rejection>() {
                    note.lock().unwrap().push(rejection.reason().to_string());
                }
                response
            },
        );
        Scene {
            front: stack.serve(service).await,
            handle,
            revocations,
            token: stack.token(),
            upstream: self.upstream,
            stack,
            reasons,
        }
    }
}
