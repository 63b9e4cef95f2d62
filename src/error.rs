use crate::service::ServiceName;

/// What is wrong with a configuration, found while it is being set up.
///
/// It names the thing and the rule it breaks, never the value: configuration holds secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A certificate or a set of trusted roots cannot be used.
    #[error("certificate: {0}")]
    Certificate(&'static str),
    /// The claims of a token cannot be made.
    #[error("claims: {0}")]
    Claims(&'static str),
    /// An origin that browsers may call from is not one.
    #[error("cors: {0}")]
    Cors(&'static str),
    /// A credential cannot be put into a header.
    #[error("credential: {0}")]
    Credential(&'static str),
    /// There is already a service of this name.
    #[error("service {0}: there is one of that name already")]
    DuplicateService(ServiceName),
    /// A header may not be let through.
    #[error("header: {0}")]
    Header(&'static str),
    /// An environment variable is not set, or no text. It is named if it looks like one.
    #[error("environment variable{}: not set", .0.as_deref().map(|name| format!(" {name}")).unwrap_or_default())]
    Environment(Option<Box<str>>),
    /// A host name that leads to a service cannot be used.
    #[error("host: {0}")]
    Host(&'static str),
    /// A limit is out of range.
    #[error("limit: {0}")]
    Limit(&'static str),
    /// The mount is not a plain absolute path.
    #[error("mount: {0}")]
    Mount(&'static str),
    /// A path pattern cannot be read.
    #[error("path pattern: {0}")]
    PathPattern(&'static str),
    /// The place where a key or a token stands cannot be used.
    #[error("place: {0}")]
    Place(&'static str),
    /// The origin under which callers see the proxy is not an origin.
    #[error("public origin: {0}")]
    PublicOrigin(&'static str),
    /// A service cannot be used as it is.
    #[error("service {0}: {1}")]
    Service(ServiceName, &'static str),
    /// A service name breaks the grammar `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
    #[error("service name: {0}")]
    ServiceName(&'static str),
    /// A target is not a plain `https://host[:port][/path]`.
    #[error("target: {0}")]
    Target(&'static str),
    /// A secret for signing tokens is not good enough.
    #[error("token secret: {0}")]
    TokenSecret(&'static str),
}
