use std::{fs, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sallygate::{Client, ConfigError, Credential, Issuer, JwtVerifier, ProxyLayer, Service};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::{
    config::{Config, Tls, Token, Upstream},
    outbound::Outbound,
    section::Refusal,
    source::{Source, unreadable},
    watch::Watched,
};

impl Config {
    /// The proxy with its services, and the credentials to keep an eye on.
    pub(crate) fn proxy(&self) -> Result<(ProxyLayer, Vec<Watched>), Refusal> {
        let mut proxy = ProxyLayer::new(&self.mount, self.token.verifier()?)
            .map_err(|problem| Refusal::new("mount", format!("a plain path ({problem})")))?;
        let mut watched = Vec::new();
        for upstream in &self.services {
            let key = upstream.path("credential");
            let text = upstream.credential.read(&key)?;
            let credential = Credential::new(text.as_str())
                .map_err(|problem| Refusal::new(&key, format!("a key on one line ({problem})")))?;
            if let Source::File(file) = &upstream.credential {
                watched.push(Watched::new(key, file.clone(), credential.clone(), text));
            }
            let (target, place) = (upstream.target.clone(), upstream.place.clone());
            let service = Service::at(target, place, credential);
            proxy = proxy.service(&upstream.name, service).map_err(|problem| {
                let key = format!("services.{}", upstream.name);
                Refusal::new(key, format!("a usable service ({problem})"))
            })?;
        }
        Ok((proxy, watched))
    }

    /// What issues the tokens that [`proxy`](Self::proxy) accepts.
    pub(crate) fn issuer(&self) -> Result<Issuer, Refusal> {
        let mut issuer = self.token.with_secret(|secret| Issuer::hs256(secret))?;
        if let Some(name) = &self.token.issuer {
            issuer = issuer.issuer(name);
        }
        if let Some(name) = &self.token.audience {
            issuer = issuer.audience(name);
        }
        Ok(issuer)
    }

    /// Clients with connection pools of their own.
    pub(crate) fn outbound(&self) -> Result<Outbound, Refusal> {
        let mut private = Vec::new();
        for upstream in &self.services {
            let key = upstream.path("ca_file");
            let same_host = |other: &&Upstream| other.authority == upstream.authority;
            if self
                .services
                .iter()
                .filter(same_host)
                .any(|other| other.ca_file != upstream.ca_file)
            {
                return Err(Refusal::new(
                    key,
                    "the same one in all services of this host",
                ));
            }
            let Some(file) = &upstream.ca_file else {
                continue;
            };
            let pem = fs::read(file).map_err(|problem| unreadable(&key, file, &problem))?;
            let client = Client::new()
                .add_root_certificates(pem)
                .map_err(|problem| {
                    Refusal::new(&key, format!("certificates in PEM ({problem})"))
                })?;
            private.push((upstream.authority.clone(), client));
        }
        Ok(Outbound::new(private))
    }

    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>, Refusal> {
        self.tls.as_ref().map(Tls::acceptor).transpose()
    }
}

impl Tls {
    fn acceptor(&self) -> Result<TlsAcceptor, Refusal> {
        let pem =
            fs::read(&self.cert).map_err(|problem| unreadable("tls.cert", &self.cert, &problem))?;
        let certificates = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| Refusal::new("tls.cert", "a file of certificates in PEM"))?;
        let pem = fs::read(&self.key)
            .map(Zeroizing::new)
            .map_err(|problem| unreadable("tls.key", &self.key, &problem))?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| Refusal::new("tls.key", "a file with a private key in PEM"))?;
        let mut server =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|server| {
                    server
                        .with_no_client_auth()
                        .with_single_cert(certificates, key)
                })
                .map_err(|_| Refusal::new("tls", "a certificate and the private key of it"))?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(server).into())
    }
}

impl Token {
    fn verifier(&self) -> Result<JwtVerifier, Refusal> {
        let mut verifier = self.with_secret(|secret| JwtVerifier::hs256(secret))?;
        if let Some(name) = &self.issuer {
            verifier = verifier.issuer(name);
        }
        if let Some(name) = &self.audience {
            verifier = verifier.audience(name);
        }
        Ok(verifier)
    }

    fn with_secret<T>(&self, make: fn(&str) -> Result<T, ConfigError>) -> Result<T, Refusal> {
        let secret = self.secret.read("token.secret")?;
        make(&secret).map_err(|problem| {
            Refusal::new("token.secret", format!("at least 32 bytes ({problem})"))
        })
    }
}

impl Upstream {
    fn path(&self, key: &str) -> String {
        format!("services.{}.{key}", self.name)
    }
}
