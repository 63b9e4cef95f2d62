use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use crate::{Failure, config::Config};

/// Prints what the gateway would serve. All that a start reads is read, and nothing is connected to.
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    let config = Config::read(file)?;
    let ready = config.prepare().and_then(|_| config.private_clients());
    ready.map_err(|problem| problem.within(file))?;
    write!(io::stdout(), "{}: good\n{config}", file.display())?;
    Ok(())
}

/// A line for each thing that is served. None holds a secret, or the name of where one is: that may be the secret itself, in
/// the wrong place.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen: {}://{}", self.scheme(), self.listen)?;
        writeln!(f, "mount: {}", self.mount)?;
        if let Some(path) = &self.health {
            writeln!(f, "health: {path}")?;
        }
        if let Some(suffix) = &self.host_suffix {
            writeln!(f, "host_suffix: {suffix}")?;
        }
        for (host, service) in &self.hosts {
            writeln!(f, "hosts.{host}: {service}")?;
        }
        if !self.bounds.is_empty() {
            writeln!(f, "limits: {}", self.bounds)?;
        }
        for service in &self.services {
            writeln!(f, "services.{}: {service}", service.name)?;
        }
        Ok(())
    }
}
