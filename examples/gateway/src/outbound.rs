use std::{
    fs,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use http::{Request, Response, uri::Authority};
use sallygate::{Body, Client, upstream::ResponseFuture};
use tower::{BoxError, Service};

use crate::{refusal::Refusal, secret::unreadable};

/// The outbound side: one client for all upstreams, but a client of its own for each that has a `ca_file`, so that a
/// company's certificates vouch for the company's hosts and for no others.
#[derive(Clone)]
pub(crate) struct Outbound {
    public: Client,
    private: Arc<ArcSwap<Private>>,
}

/// By host.
pub(crate) type Private = Vec<(Authority, Client)>;

impl Outbound {
    pub(crate) fn new(private: Private) -> Self {
        Self {
            public: Client::new(),
            private: Arc::new(ArcSwap::from_pointee(private)),
        }
    }

    /// Changes it for all its clones.
    pub(crate) fn replace(&self, private: Private) {
        self.private.store(Arc::new(private));
    }
}

impl Service<Request<Body>> for Outbound {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let host = request.uri().authority();
        let private = self.private.load();
        match private.iter().find(|(own, _)| Some(own) == host) {
            Some((_, client)) => client.clone().call(request),
            None => self.public.call(request),
        }
    }
}

/// A client that trusts the certificates in this file besides the public ones.
pub(crate) fn trusting(key: &str, file: &Path) -> Result<Client, Refusal> {
    let pem = fs::read(file).map_err(|problem| unreadable(key, file, &problem))?;
    Client::new()
        .add_root_certificates(pem)
        .map_err(|problem| Refusal::new(key, format!("certificates in PEM ({problem})")))
}
