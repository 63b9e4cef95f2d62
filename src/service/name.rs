//! The name of a service, as it stands in the path. It is checked once, so that it can be put into URLs and logs as it is.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::ConfigError;

/// The name of a service in the path: `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, case kept.
///
/// # Example
///
/// ```
/// use sallygate::service::ServiceName;
///
/// let name: ServiceName = "grpc.health.v1.Health".parse()?;
/// assert!("../up".parse::<ServiceName>().is_err());
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(ConfigError::ServiceName(
                "does not begin with a letter or digit",
            ));
        }
        if name.len() > 128 {
            return Err(ConfigError::ServiceName("longer than 128 bytes"));
        }
        if !name.bytes().all(plain) {
            return Err(ConfigError::ServiceName(
                "holds something else than letters, digits, '.', '_', '-'",
            ));
        }
        Ok(Self(name.into()))
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
