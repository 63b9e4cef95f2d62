use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use sallygate::{Credential, service::SandboxSetup};

use crate::{Failure, USAGE, config::Config, refusal::Refusal, section::duration};

/// Longest life of a token that the gateway accepts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Prints a token for a sandbox.
pub(crate) fn token(file: &Path, options: &[&str]) -> Result<(), Failure> {
    let options = Options::parse("token", options)?;
    let token = options.token(&Config::read(file)?, file)?;
    writeln!(io::stdout(), "{token}")?;
    Ok(())
}

/// Prints what a sandbox needs so that its tools come here. The keys of the APIs are not asked for.
pub(crate) fn env(file: &Path, options: &[&str]) -> Result<(), Failure> {
    let options = Options::parse("env", options)?;
    let config = Config::read(file)?;
    let origin = options
        .origin
        .map(str::to_owned)
        .or_else(|| config.origin());
    let origin = origin.ok_or(
        "env: expected --origin URL, or public_origin in the file: `listen` is no address to call",
    )?;
    let token = options.token(&config, file)?;
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
    write!(io::stdout(), "{}", (options.format)(&setup))?;
    Ok(())
}

struct Options<'a> {
    sandbox: &'a str,
    session: Option<&'a str>,
    id: Option<&'a str>,
    lifetime: Duration,
    format: fn(&SandboxSetup) -> String,
    origin: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(command: &str, options: &[&'a str]) -> Result<Self, Failure> {
        let mut sandbox = None;
        let mut parsed = Self {
            sandbox: "",
            session: None,
            id: None,
            lifetime: Duration::from_secs(15 * 60),
            format: SandboxSetup::to_shell,
            origin: None,
        };
        let mut words = options.iter().copied();
        while let Some(name) = words.next() {
            let known = match name {
                "--sandbox" | "--session" | "--id" | "--expires-in" => true,
                "--format" | "--origin" => command == "env",
                _ => false,
            };
            if !known {
                return Err(USAGE.into());
            }
            let missing = || format!("{name}: expected a value\n{USAGE}");
            let value = words.next().ok_or_else(missing)?;
            match name {
                "--sandbox" => sandbox = Some(value),
                "--session" => parsed.session = Some(value),
                "--id" => parsed.id = Some(value),
                "--origin" => parsed.origin = Some(value),
                "--format" => parsed.format = format(value)?,
                _ => parsed.lifetime = lifetime(value)?,
            }
        }
        let missing = || format!("{command}: expected --sandbox ID\n{USAGE}");
        parsed.sandbox = sandbox.ok_or_else(missing)?;
        Ok(parsed)
    }

    fn token(&self, config: &Config, file: &Path) -> Result<String, Failure> {
        let issuer = config.issuer().map_err(|problem| problem.within(file))?;
        let mut draft = issuer.issue(self.sandbox).expires_in(self.lifetime);
        if let Some(session) = self.session {
            draft = draft.session_id(session);
        }
        if let Some(id) = self.id {
            draft = draft.token_id(id);
        }
        Ok(draft.sign()?)
    }
}

fn format(name: &str) -> Result<fn(&SandboxSetup) -> String, Failure> {
    match name {
        "shell" => Ok(SandboxSetup::to_shell),
        "dotenv" => Ok(SandboxSetup::to_dotenv),
        "json" => Ok(|setup| setup.to_json() + "\n"),
        _ => Err("--format: expected shell, dotenv or json".into()),
    }
}

fn lifetime(text: &str) -> Result<Duration, Failure> {
    duration(text)
        .filter(|lifetime| (Duration::from_secs(1)..=DAY).contains(lifetime))
        .ok_or_else(|| "--expires-in: expected a time such as 90s, 15m or 24h, at most 24h".into())
}
