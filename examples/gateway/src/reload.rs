use std::path::{Path, PathBuf};

use sallygate::{Revocations, proxy::Handle};

use crate::{Failure, config::Config, outbound::Outbound, refusal::Refusal, source::Source};

/// What it takes to read the file again while requests are under way: its services, the keys of its tokens, and
/// which of them are revoked. The rest of the file stays as it was at the start.
pub(crate) struct Reload {
    file: PathBuf,
    handle: Handle,
    /// One for each thread.
    outbounds: Vec<Outbound>,
    revocations: Revocations,
}

impl Reload {
    pub(crate) fn new(
        file: &Path,
        handle: Handle,
        outbounds: Vec<Outbound>,
        revocations: Revocations,
    ) -> Self {
        Self {
            file: file.to_owned(),
            handle,
            outbounds,
            revocations,
        }
    }

    /// Takes over what the file says now: all of it, or nothing.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let config = Config::read(&self.file)?;
        let within = |problem: Refusal| problem.within(&self.file);
        let services = config.services(Source::credential).map_err(within)?;
        let verifier = config.token.verifier().map_err(within)?;
        let revoked = config.token.revoked().map_err(within)?;
        let private = self.outbounds.iter().map(|_| config.private_clients());
        let private = private.collect::<Result<Vec<_>, _>>().map_err(within)?;

        // Before the services whose certificates they verify.
        for (outbound, private) in self.outbounds.iter().zip(private) {
            outbound.replace(private);
        }
        self.handle.update(|change| {
            let before: Vec<_> = change.services().cloned().collect();
            for gone in before
                .iter()
                .filter(|name| !config.has_service(name.as_str()))
            {
                change.remove_service(gone.as_str());
            }
            for service in services {
                service(change).map_err(within)?;
            }
            change.set_verifier(verifier);
            // Last: they cannot be undone.
            revoked
                .iter()
                .try_for_each(|one| one.tell(&self.revocations))?;
            Ok::<_, Failure>(())
        })?;
        Ok(())
    }
}
