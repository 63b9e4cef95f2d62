use std::{
    io::{self, Write},
    path::Path,
};

use sallygate::Credential;

use crate::{
    Failure,
    arguments::{Env, Token},
    config::Config,
    refusal::Refusal,
};

/// Prints a token for a sandbox.
pub(crate) fn token(file: &Path, token: &Token) -> Result<(), Failure> {
    let token = token.sign(&Config::read(file)?, file)?;
    writeln!(io::stdout(), "{token}")?;
    Ok(())
}

/// Prints what a sandbox needs so that its tools come here. The keys of the APIs are not asked for.
pub(crate) fn env(file: &Path, token: &Token, env: &Env) -> Result<(), Failure> {
    let config = Config::read(file)?;
    let origin = env.origin.clone().or_else(|| config.origin());
    let origin = origin.ok_or(
        "env: expected --origin URL, or public_origin in the file: `listen` is no address to call",
    )?;
    let token = token.sign(&config, file)?;
    let placeholder = |_: &_| {
        Credential::new("none").map_err(|problem| Refusal::new("credential", problem.to_string()))
    };
    let proxy = config
        .proxy(placeholder)
        .map_err(|problem| problem.within(file))?;
    let setup = proxy
        .handle()
        .sandbox_setup_at(&origin, &token)
        .map_err(|problem| format!("--origin: expected https://HOST[:PORT] ({problem})"))?;
    write!(io::stdout(), "{}", (env.format)(&setup))?;
    Ok(())
}

impl Token {
    fn sign(&self, config: &Config, file: &Path) -> Result<String, Failure> {
        let issuer = config.issuer().map_err(|problem| problem.within(file))?;
        let mut draft = issuer.issue(&self.sandbox).expires_in(self.lifetime);
        if let Some(session) = &self.session {
            draft = draft.session_id(session);
        }
        if let Some(id) = &self.id {
            draft = draft.token_id(id);
        }
        Ok(draft.sign()?)
    }
}
