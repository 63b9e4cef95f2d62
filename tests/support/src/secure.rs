use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Request, Response, Version, request::Parts};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sallygate::Body;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::{PATIENCE, within};

/// A certificate authority of our own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl Authority {
    /// Makes one with a fresh key.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// TLS for this name or address.
    pub fn server(&self, name: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// An upstream behind TLS, HTTP/2 or HTTP/1.1 as was agreed on.
///
/// It answers 403 to requests without the credential, and keeps what it got.
pub struct Secure {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it got, in order.
    pub requests: Arc<Mutex<Vec<Received>>>,
    slots: Arc<Mutex<Vec<String>>>,
    changed: watch::Sender<()>,
    task: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// The version that was spoken.
    pub version: Version,
    /// The target, as hyper gives it.
    pub uri: http::Uri,
    /// The header fields.
    pub headers: HeaderMap,
    /// The trailer fields.
    pub trailers: Option<HeaderMap>,
    /// The whole body.
    pub body: Vec<u8>,
    /// As text, as an HTTP/1 head would be.
    pub head: String,
}

impl Secure {
    /// Answers each request, once its body has arrived, with what `answer` makes of it.
    pub async fn new(
        tls: TlsAcceptor,
        answer: impl Fn(&Received) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Received>>> = Arc::default();
        let slots: Arc<Mutex<Vec<String>>> = Arc::default();
        let changed = watch::Sender::new(());
        let answer = Arc::new(answer);
        let task = {
            let (requests, slots, changed) = (requests.clone(), slots.clone(), changed.clone());
            tokio::spawn(async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        continue;
                    };
                    stream.set_nodelay(true).unwrap();
                    let (tls, answer) = (tls.clone(), answer.clone());
                    let (requests, slots, changed) =
                        (requests.clone(), slots.clone(), changed.clone());
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (answer, requests) = (answer.clone(), requests.clone());
                        let (slots, changed) = (slots.clone(), changed.clone());
                        async move {
                            let (parts, body) = request.into_parts();
                            let head = head(&parts);
                            let known = slots.lock().unwrap().clone();
                            let authorized = known
                                .iter()
                                .any(|slot| head.matches(slot.as_str()).count() == 1);
                            let body = body.collect().await?;
                            let received = Received {
                                version: parts.version,
                                uri: parts.uri,
                                headers: parts.headers,
                                trailers: body.trailers().cloned(),
                                body: body.to_bytes().to_vec(),
                                head,
                            };
                            requests.lock().unwrap().push(received.clone());
                            changed.send_replace(());
                            if authorized {
                                return Ok::<_, hyper::Error>(answer(&received));
                            }
                            Ok(Response::builder().status(403).body(Body::empty()).unwrap())
                        }
                    });
                    tokio::spawn(async move {
                        let Ok(stream) = tls.accept(stream).await else {
                            return;
                        };
                        let server = auto::Builder::new(TokioExecutor::new());
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            })
        };
        Self {
            addr,
            requests,
            slots,
            changed,
            task,
        }
    }

    /// Takes requests with this in them, once, for authorized.
    pub fn accept(&self, slot: String) {
        self.slots.lock().unwrap().push(slot);
    }

    /// What requests may have in them.
    pub fn accepted(&self) -> Vec<String> {
        self.slots.lock().unwrap().clone()
    }

    /// The last request; there must be one.
    pub fn last(&self) -> Received {
        let requests = self.requests.lock().unwrap();
        requests
            .last()
            .cloned()
            .expect("the upstream received nothing")
    }

    /// Waits until what has arrived satisfies `condition`.
    pub async fn until(&self, condition: impl Fn(&[Received]) -> bool) {
        let mut changed = self.changed.subscribe();
        within(PATIENCE, async {
            while !condition(&self.requests.lock().unwrap()) {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn head(parts: &Parts) -> String {
    let mut head = format!("{} {} {:?}\r\n", parts.method, parts.uri, parts.version);
    for (name, value) in &parts.headers {
        let value: String = value
            .as_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .collect();
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}
