//! S3: clients sign with their key instead of sending it. The caller's signature is taken off, what it names is checked,
//! and the request is signed anew with the real key.

mod address;
mod copy_source;
mod encoding;
mod error;
mod key;
mod payload;
mod presigned;
mod query;
mod reach;
mod refusal;
mod setup;
mod sign;
mod token;
mod upload;

use std::{borrow::Cow, fmt, slice};

use async_trait::async_trait;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, RANGE},
    request::Parts,
    uri::Scheme,
};

use self::{
    address::Address, presigned::Presigned, query::Query, reach::Reach, refusal::Refusal,
    sign::Signing,
};
use crate::{
    Body, ConfigError, Context, Credential, Injection, Limits, Outcome, Place, Policy,
    ServiceConfig, Target, TransformError,
    rejection::Rejection,
    service::{
        ErrorBody, SandboxSetup, SetupScope, concat,
        host_name::{self, HostName},
    },
};

/// S3, and whatever speaks like it: R2, MinIO, Ceph, …
///
/// S3's clients do not send their key, they sign with it. Here the token takes the place of the access key id, and the
/// secret can be anything: `S3` takes the caller's signature off and signs the request anew, with the real key. The
/// token may also come as `Authorization: Bearer`.
///
/// The key is a pair in one text, `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` behind it if there is one.
///
/// # Example
///
/// ```
/// use sallygate::{Credential, Target, service::S3};
///
/// let key = Credential::new("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")?;
/// let s3 = S3::new(Target::new("https://s3.eu-central-1.amazonaws.com")?, "eu-central-1", key)?
///     .buckets(["reports"])?
///     .prefix("tenants/acme/")?;
///
/// let key = Credential::new("0123456789abcdef:0123456789abcdef0123456789abcdef")?;
/// let r2 = S3::new(Target::new("https://account.r2.cloudflarestorage.com")?, "auto", key)?;
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
///
/// # What holds
///
/// 1. The caller's signature is not checked: what it signs with is no secret. Who holds the token may do what the token
///    allows; who holds a *presigned URL* holds the token that is in it. The URL's own expiry is checked as well.
/// 2. What is checked is what is sent. Paths, queries and copy sources are sent in one spelling, that of AWS's own
///    clients, which every server reads and signs alike: in a path, a raw `+` is a plus sign and `%2F` is a slash.
/// 3. [`buckets`](Self::buckets) and [`prefix`](Self::prefix) hold for everything a request names: the path, the copy
///    source, the prefix of a list. Under a prefix, requests that would go past it are refused: a bucket's settings,
///    deletion of many objects at once (they are named in the body, which is not read), access control lists,
///    copies by the ARN of an access point. Listings must ask for a prefix within.
/// 4. Bodies stream. Chunks that were signed with the token lose their signatures; lengths are checked, and an upload that
///    is not what it announced ends in an error before the upstream has all of it. Checksums pass, and the upstream
///    checks them.
/// 5. Not supported: Signature Version 2, SigV4A, and uploads by HTML form.
pub struct S3 {
    /// The endpoint; behind it, those of the buckets where these have hosts of their own.
    targets: Vec<Target>,
    region: String,
    key: Injection,
    reach: Reach,
    domain: Option<HostName>,
    policy: Policy,
}

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

impl S3 {
    /// Creates the service for an endpoint, `https://s3.eu-central-1.amazonaws.com` for example, whose requests are
    /// signed for `region`: `auto` at R2, and often `us-east-1` elsewhere.
    ///
    /// # Errors
    ///
    /// When the region is not lower-case letters, digits and `-`.
    pub fn new(
        target: Target,
        region: impl Into<String>,
        key: Credential,
    ) -> Result<Self, ConfigError> {
        let region = region.into();
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-');
        if region.is_empty() || !region.bytes().all(plain) {
            return Err(ConfigError::Target("not the name of a region"));
        }
        let policy = Policy::new()
            .methods([
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::POST,
                Method::DELETE,
            ])
            .take_out([Place::query(token::CREDENTIAL)?])
            .allow_encoded_slashes()
            // An access key id that is refused is named.
            .redact_errors();
        Ok(Self {
            targets: vec![target],
            region,
            // The signature goes there.
            key: Injection::bearer(key),
            reach: Reach::default(),
            domain: None,
            policy,
        })
    }

    /// Sets limits of the service's own. Those that `limits` does not set stay as they are.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.policy = self.policy.limits(limits);
        self
    }

    /// Responds with 403 for any other bucket, be it of a copy source. Defaults to all that the key may use.
    ///
    /// Of these buckets, objects are the caller's to read, write and delete, as far as the key may; settings it may only
    /// read, because some of them lead to other buckets. It cannot make or delete the buckets themselves.
    ///
    /// # Errors
    ///
    /// When there is none, or one cannot be the name of a bucket.
    pub fn buckets<B: Into<String>>(
        mut self,
        buckets: impl IntoIterator<Item = B>,
    ) -> Result<Self, ConfigError> {
        self.reach
            .set_buckets(buckets.into_iter().map(Into::into).collect())?;
        if self.targets.len() > 1 {
            return self.upstream_virtual_hosts();
        }
        Ok(self)
    }

    /// Responds with 403 for any key that does not begin with this. Defaults to none.
    ///
    /// # Errors
    ///
    /// When it does not end with a slash, or begins with one, or could be read in two ways.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Result<Self, ConfigError> {
        self.reach.set_prefix(prefix.into())?;
        Ok(self)
    }

    /// Also takes the bucket from the host that callers use, where it stands before this domain:
    /// `https://reports.gate.example.com/proxy/s3/key`. Defaults to the path alone: `/proxy/s3/reports/key`.
    ///
    /// # Errors
    ///
    /// When it is not a host name.
    pub fn virtual_hosts(mut self, domain: &str) -> Result<Self, ConfigError> {
        let domain = HostName::parse(domain).ok_or(ConfigError::Host("not a host name"))?;
        self.domain = Some(domain);
        Ok(self)
    }

    /// Puts the bucket before the host of the endpoint, `https://reports.s3.eu-central-1.amazonaws.com/key`, for upstreams
    /// that ask for it. Defaults to the path. The buckets must be named, because a service has a fixed list of origins.
    ///
    /// # Errors
    ///
    /// When no buckets were named before, or a name is none of a host.
    pub fn upstream_virtual_hosts(mut self) -> Result<Self, ConfigError> {
        let buckets = self.reach.buckets.as_ref();
        let buckets = buckets.ok_or(ConfigError::Target(
            "hosts of buckets need the buckets named",
        ))?;
        let endpoint = self.target().clone();
        let own = buckets.iter().map(|bucket| host_of(&endpoint, bucket));
        let own = own.collect::<Result<Vec<_>, _>>()?;
        self.targets = vec![endpoint];
        self.targets.extend(own);
        Ok(self)
    }

    fn address(&self, ctx: &Context) -> Result<Address, TransformError> {
        let domain = self.domain.as_ref();
        let bucket = domain
            .zip(ctx.host())
            .and_then(|(domain, host)| domain.before(host_name::plain(host)));
        match bucket {
            // Clients write host names as they like.
            Some(bucket) => Address::in_host(&bucket.to_ascii_lowercase(), ctx.path()),
            None => Address::in_path(ctx.path()),
        }
    }

    fn uri(&self, address: &Address, query: &Query) -> Result<Uri, TransformError> {
        let query = query.encode();
        let buckets = self.reach.buckets.iter().flatten();
        let own = buckets.zip(self.targets.iter().skip(1));
        let own = own
            .filter(|(bucket, _)| **bucket == address.bucket)
            .map(|(_, target)| target)
            .next();
        let (target, bucket) = match own {
            Some(target) => (target, String::new()),
            None => (self.target(), format!("/{}", address.bucket)),
        };
        let path = match own {
            Some(_) if address.path.is_empty() => "/",
            _ => &address.path,
        };
        Ok(target.join(&concat(&bucket, path, query.as_deref())?)?)
    }

    fn sign(&self, parts: &mut Parts, payload: &str, ctx: &Context) -> Result<(), TransformError> {
        let wrong = || Refusal::bad("InvalidArgument", "A header is not ASCII");
        let signed = |name: &HeaderName| {
            name.as_str().starts_with("x-amz-") || [CONTENT_TYPE, CONTENT_MD5, RANGE].contains(name)
        };
        let headers = parts.headers.iter().filter(|(name, _)| signed(name));
        let headers: Option<Vec<_>> = headers
            .map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let signing = Signing {
            service: "s3",
            region: &self.region,
            time: ctx.now(),
            encode_twice: false,
            normalize: false,
            name_payload: true,
        };
        let added = signing.headers(
            key::pair(&self.key, ctx)?,
            parts.method.as_str(),
            parts.uri.to_string(),
            headers.ok_or_else(wrong)?.into_iter(),
            payload,
        );
        // What it says of the failure may show a header.
        let added = added.map_err(|_| TransformError::new("the request cannot be signed"))?;
        for (name, value, secret) in added {
            let mut value = HeaderValue::try_from(value)?;
            value.set_sensitive(secret || name == AUTHORIZATION.as_str());
            parts.headers.insert(name, value);
        }
        Ok(())
    }
}

fn host_of(endpoint: &Target, bucket: &str) -> Result<Target, ConfigError> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    if !bucket.bytes().all(plain) {
        return Err(ConfigError::Target(
            "the name of a bucket is none of a host",
        ));
    }
    let (authority, base) = (endpoint.authority(), endpoint.prefix());
    if *endpoint.scheme() == Scheme::HTTPS {
        Target::new(&format!("https://{bucket}.{authority}{base}"))
    } else {
        Target::dangerous_plaintext(&format!("http://{bucket}.{authority}{base}"))
    }
}

#[async_trait]
impl ServiceConfig for S3 {
    fn target(&self) -> &Target {
        // There is one from the beginning, and it is never taken away.
        #[expect(clippy::indexing_slicing, reason = "see above")]
        &self.targets[0]
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        token::find(request)
    }

    async fn transform(
        &self,
        request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        let (mut parts, body) = request.into_parts();
        let mut query = Query::parse(parts.uri.query().unwrap_or_default())?;
        parts.headers.remove(DATE);
        let presigned = Presigned::take(&mut query, &mut parts.headers)?;
        presigned.check(!ctx.taken_headers().contains_key(AUTHORIZATION), ctx.now())?;

        let address = self.address(ctx)?;
        self.reach.check(&parts.method, &address, &query)?;
        self.reach.check_headers(&mut parts.headers)?;

        let (body, payload) = payload::prepare(&mut parts.headers, body).await?;
        parts.uri = self.uri(&address, &query)?;
        self.sign(&mut parts, &payload, ctx)?;
        Ok(Request::from_parts(parts, body).into())
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn injections(&self) -> &[Injection] {
        slice::from_ref(&self.key)
    }

    /// S3 has no 401.
    fn refuses_key(&self, response: &Response<Body>) -> bool {
        response.status() == StatusCode::FORBIDDEN
    }

    fn error(&self, rejection: &Rejection) -> Option<ErrorBody> {
        Some(error::body(rejection))
    }

    fn setup(&self, scope: &SetupScope<'_>) -> SandboxSetup {
        let buckets = self.reach.buckets.as_deref().unwrap_or_default();
        setup::setup(scope, &self.region, self.domain.is_none(), buckets)
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Shows neither the key nor where it goes.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("region", &self.region)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
