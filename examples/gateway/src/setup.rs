use std::{fs, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sallygate::{ConfigError, Issuer, JwtVerifier, ProxyLayer, Revocations, door::Cors};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::{
    config::{Config, ORIGINS, Tls, Token},
    outbound::{self, Private},
    refusal::Refusal,
    secret::unreadable,
    source::Source,
    upstream::{Install, MakeKey, Upstream},
};

/// All that a start takes from the file and from what it refers to, but the clients, which each thread has for itself.
pub(crate) struct Prepared {
    pub(crate) proxy: ProxyLayer,
    pub(crate) revocations: Revocations,
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Config {
    pub(crate) fn prepare(&self) -> Result<Prepared, Refusal> {
        // No token lives longer than a day, but new ones may be issued: what is revoked is so for as long as this runs.
        let revocations = Revocations::new().max_lifetime(Duration::MAX);
        for revocation in self.token.revoked()? {
            revocation.tell(&revocations).map_err(|problem| {
                Refusal::new("token.revoked", format!("ids of tokens ({problem})"))
            })?;
        }
        Ok(Prepared {
            proxy: self.proxy(Source::credential)?.revocations(&revocations),
            tls: self.acceptor()?,
            revocations,
        })
    }

    /// The proxy with its services, with keys that `make_key` makes.
    pub(crate) fn proxy(&self, make_key: MakeKey) -> Result<ProxyLayer, Refusal> {
        let mut proxy = ProxyLayer::new(&self.mount, self.token.verifier()?)
            .map_err(|problem| Refusal::new("mount", format!("a plain path ({problem})")))?;
        if let Some(origin) = &self.public_origin {
            proxy = proxy.public_origin(origin).map_err(|problem| {
                Refusal::new("public_origin", format!("https://HOST[:PORT] ({problem})"))
            })?;
        }
        proxy = self.routes(proxy)?;
        proxy = proxy.limits(self.bounds.limits);
        if let Some(origins) = &self.cors {
            proxy = proxy.cors(cors(origins)?);
        }
        let mut services = self.services(make_key)?.into_iter();
        proxy
            .handle()
            .update(|change| services.try_for_each(|service| service(change)))?;
        Ok(proxy)
    }

    /// The services, with keys that `make_key` makes.
    pub(crate) fn services(&self, make_key: MakeKey) -> Result<Vec<Install>, Refusal> {
        let services = self.services.iter();
        services.map(|service| service.service(make_key)).collect()
    }

    fn routes(&self, mut proxy: ProxyLayer) -> Result<ProxyLayer, Refusal> {
        for (host, service) in &self.hosts {
            proxy = proxy.host(host, service).map_err(|problem| {
                let expected = format!("a host name, and the name of a service ({problem})");
                Refusal::new(format!("hosts.{host}"), expected)
            })?;
        }
        match &self.host_suffix {
            None => Ok(proxy),
            Some(suffix) => proxy
                .host_suffix(suffix)
                .map_err(|problem| Refusal::new("host_suffix", format!("a host name ({problem})"))),
        }
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

    /// Clients for the hosts of services with a `ca_file`.
    pub(crate) fn private_clients(&self) -> Result<Private, Refusal> {
        let mut private = Vec::new();
        for upstream in &self.services {
            let (key, hosts) = (upstream.path("ca_file"), upstream.authorities());
            let differs = |other: &Upstream| {
                other.ca_file != upstream.ca_file
                    && other.authorities().iter().any(|host| hosts.contains(host))
            };
            if self.services.iter().any(differs) {
                let expected = "the same one in all services of this host";
                return Err(Refusal::new(key, expected));
            }
            if let Some(file) = &upstream.ca_file {
                let client = outbound::trusting(&key, file)?;
                private.extend(hosts.into_iter().map(|host| (host, client.clone())));
            }
        }
        Ok(private)
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>, Refusal> {
        self.tls.as_ref().map(Tls::acceptor).transpose()
    }
}

fn cors(origins: &[String]) -> Result<Cors, Refusal> {
    let mut origins = origins.iter();
    origins.try_fold(Cors::new(), |cors, origin| match origin.as_str() {
        "*" => Ok(cors.allow_any_origin()),
        origin => cors
            .allow_origin(origin)
            .map_err(|problem| Refusal::new("cors.origins", format!("{ORIGINS} ({problem})"))),
    })
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
    pub(crate) fn verifier(&self) -> Result<JwtVerifier, Refusal> {
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
        make(&self.secret.read()?).map_err(|problem| {
            Refusal::new(self.secret.key(), format!("at least 32 bytes ({problem})"))
        })
    }
}
