use std::{ffi::OsStr, path::PathBuf, time::Duration};

use lexopt::{Arg, Parser};
use sallygate::service::SandboxSetup;

use crate::section::duration;

pub(crate) const USAGE: &str = "usage: sallygate-gateway FILE
       sallygate-gateway FILE check
       sallygate-gateway FILE env --sandbox ID [--session ID] [--id ID] [--expires-in 15m]
                                  [--format shell|dotenv|json] [--origin URL]
       sallygate-gateway FILE token --sandbox ID [--session ID] [--id ID] [--expires-in 15m]
       sallygate-gateway --help | --version

FILE alone serves what the file says. With RUST_LOG=info in the environment, it says on standard error why it refuses a
request.
check reads the file, and the keys and certificates that it refers to, connects to nothing, and prints what would be
served. It exits with 0, or with 2 and what is wrong.
env prints what a sandbox needs so that its tools come here, for its shell to evaluate (as dotenv: the variables alone).
token prints a token and nothing else.";

/// Longest life of a token that the gateway accepts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the command line asks for.
pub(crate) enum Arguments {
    Check(PathBuf),
    Env(PathBuf, Token, Env),
    Help,
    Serve(PathBuf),
    Token(PathBuf, Token),
    Version,
}

/// What a token is to say.
pub(crate) struct Token {
    pub(crate) sandbox: String,
    pub(crate) session: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) lifetime: Duration,
}

/// What a sandbox is to be told, and how.
pub(crate) struct Env {
    pub(crate) format: fn(&SandboxSetup) -> String,
    pub(crate) origin: Option<String>,
}

#[derive(Clone, Copy)]
enum Command {
    Check,
    Env,
    Token,
}

#[derive(Default)]
struct Options {
    sandbox: Option<String>,
    session: Option<String>,
    id: Option<String>,
    lifetime: Option<Duration>,
    format: Option<fn(&SandboxSetup) -> String>,
    origin: Option<String>,
}

impl Arguments {
    /// Reads the command line. What is said of a wrong one ends with the usage, and shows no argument: it may be a key.
    pub(crate) fn parse(mut parser: Parser) -> Result<Self, String> {
        let (mut file, mut command, mut options) = (None, None, Options::default());
        while let Some(argument) = parser.next().map_err(|_| USAGE)? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(Self::Help),
                Arg::Long("version") | Arg::Short('V') => return Ok(Self::Version),
                Arg::Long(name) => {
                    let name = name.to_owned();
                    options.read(command.ok_or(USAGE)?, &name, &mut parser)?;
                }
                Arg::Value(path) if file.is_none() => file = Some(PathBuf::from(path)),
                Arg::Value(name) if command.is_none() => {
                    command = Some(Command::named(&name).ok_or(USAGE)?);
                }
                Arg::Short(_) | Arg::Value(_) => return Err(USAGE.into()),
            }
        }
        let file = file.ok_or(USAGE)?;
        Ok(match command {
            None => Self::Serve(file),
            Some(Command::Check) => Self::Check(file),
            Some(Command::Env) => {
                let env = Env {
                    format: options.format.unwrap_or(SandboxSetup::to_shell),
                    origin: options.origin.take(),
                };
                Self::Env(file, options.token("env")?, env)
            }
            Some(Command::Token) => Self::Token(file, options.token("token")?),
        })
    }
}

impl Command {
    fn named(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "check" => Some(Self::Check),
            "env" => Some(Self::Env),
            "token" => Some(Self::Token),
            _ => None,
        }
    }
}

impl Options {
    fn read(&mut self, command: Command, name: &str, parser: &mut Parser) -> Result<(), String> {
        let mut value = || {
            let value = parser
                .value()
                .ok()
                .and_then(|value| value.into_string().ok());
            value.ok_or_else(|| wrong(&format!("--{name}: expected a value")))
        };
        match (command, name) {
            (Command::Env | Command::Token, "sandbox") => self.sandbox = Some(value()?),
            (Command::Env | Command::Token, "session") => self.session = Some(value()?),
            (Command::Env | Command::Token, "id") => self.id = Some(value()?),
            (Command::Env | Command::Token, "expires-in") => {
                self.lifetime = Some(lifetime(&value()?)?);
            }
            (Command::Env, "format") => self.format = Some(format(&value()?)?),
            (Command::Env, "origin") => self.origin = Some(value()?),
            _ => return Err(USAGE.into()),
        }
        Ok(())
    }

    fn token(self, command: &str) -> Result<Token, String> {
        let missing = || wrong(&format!("{command}: expected --sandbox ID"));
        Ok(Token {
            sandbox: self.sandbox.ok_or_else(missing)?,
            session: self.session,
            id: self.id,
            lifetime: self.lifetime.unwrap_or(Duration::from_secs(15 * 60)),
        })
    }
}

fn format(name: &str) -> Result<fn(&SandboxSetup) -> String, String> {
    match name {
        "shell" => Ok(SandboxSetup::to_shell),
        "dotenv" => Ok(SandboxSetup::to_dotenv),
        "json" => Ok(|setup| setup.to_json() + "\n"),
        _ => Err(wrong("--format: expected shell, dotenv or json")),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|lifetime| (Duration::from_secs(1)..=DAY).contains(lifetime))
        .ok_or_else(|| wrong("--expires-in: expected a time such as 90s, 15m or 24h, at most 24h"))
}

fn wrong(what: &str) -> String {
    format!("{what}\n{USAGE}")
}
