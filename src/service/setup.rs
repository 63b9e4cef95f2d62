//! What a sandbox needs so that its tools call the proxy: environment variables, files and commands, as data and as text.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::service::ServiceName;

/// What a sandbox needs so that its tools call a service through the proxy: environment variables, files, commands.
///
/// It holds the sandbox's token, which `Debug` does not show.
///
/// # Example
///
/// ```
/// use sallygate::service::SandboxSetup;
///
/// let setup = SandboxSetup::new()
///     .env("MYAPI_BASE_URL", "https://gate.example.com/proxy/myapi")
///     .file(".myapi/config", "retries = 2\n")
///     .command(["myapi", "login"]);
/// assert!(setup.to_shell().starts_with("export MYAPI_BASE_URL='https://gate.example.com/proxy/myapi'\n"));
/// ```
#[derive(Clone, Default)]
pub struct SandboxSetup {
    env: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    commands: Vec<Vec<String>>,
}

/// For whom a sandbox is set up: see [`ServiceConfig::setup`](crate::ServiceConfig::setup).
pub struct SetupScope<'a> {
    service: &'a ServiceName,
    base: String,
    token: &'a str,
}

impl<'a> SetupScope<'a> {
    /// Creates one by hand, for a test of a service's own set-up.
    #[must_use]
    pub fn new(service: &'a ServiceName, base: impl Into<String>, token: &'a str) -> Self {
        Self {
            service,
            base: base.into(),
            token,
        }
    }

    /// The name under which the service is called.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        self.service
    }

    /// What stands before the service's paths as the sandbox sees them: `https://gate.example.com/proxy/myapi`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The sandbox's token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token
    }

    /// The service's name as the beginning of an environment variable: `MY_API` for `my-api`.
    #[must_use]
    pub fn variable_prefix(&self) -> String {
        let mut prefix = self
            .service
            .as_str()
            .to_ascii_uppercase()
            .replace(['.', '-'], "_");
        // A variable does not begin with a digit.
        if prefix.starts_with(|first: char| first.is_ascii_digit()) {
            prefix.insert(0, '_');
        }
        prefix
    }
}

impl SandboxSetup {
    /// Nothing at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds a file, at a path below the home directory. It is written for its owner alone.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<String>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// Adds a command to run once: program and arguments.
    #[must_use]
    pub fn command<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.commands
            .push(words.into_iter().map(Into::into).collect());
        self
    }

    /// Adds all of another's. Where both set a variable or a file, the other's counts.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.env.extend(other.env);
        self.files.extend(other.files);
        self.commands.extend(other.commands);
        self
    }

    /// Everything as commands of a POSIX shell, ready for `eval`.
    ///
    /// It is for the shell of a sandbox: files of these names are overwritten, and commands change settings such as git's.
    #[must_use]
    pub fn to_shell(&self) -> String {
        let mut lines = Vec::new();
        for (name, value) in &self.env {
            lines.push(format!("export {name}={}", quoted(value)));
        }
        for (path, content) in &self.files {
            let content = quoted(content);
            let (folder, _) = path.rsplit_once('/').unwrap_or_default();
            let [folder, path] = [folder, path].map(|path| format!("\"$HOME\"/{}", quoted(path)));
            // One that is there already keeps its mode, otherwise.
            lines.push(format!(
                "(umask 077 && mkdir -p {folder} && touch {path} && chmod 600 {path} && \
                 printf %s {content} > {path})"
            ));
        }
        for command in &self.commands {
            let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
            lines.push(words.join(" "));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The environment variables as `NAME=value` lines. Files and commands are not in it.
    #[must_use]
    pub fn to_dotenv(&self) -> String {
        let line = |(name, value): (&String, &String)| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:/@%+=,-".contains(&byte);
            if value.bytes().all(plain) {
                return format!("{name}={value}\n");
            }
            // What all readers agree on, shells among them.
            if !value.contains(['\'', '\\', '\n']) {
                return format!("{name}='{value}'\n");
            }
            let mut escaped = String::with_capacity(value.len() + 8);
            for character in value.chars() {
                match character {
                    '\n' => escaped.push_str("\\n"),
                    '\\' | '"' | '$' | '`' => escaped.extend(['\\', character]),
                    other => escaped.push(other),
                }
            }
            format!("{name}=\"{escaped}\"\n")
        };
        self.env.iter().map(line).collect()
    }

    /// Everything as a JSON object with the members `env`, `files` and `commands`.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Json<'a> {
            env: &'a BTreeMap<String, String>,
            files: &'a BTreeMap<String, String>,
            commands: &'a [Vec<String>],
        }
        let all = Json {
            env: &self.env,
            files: &self.files,
            commands: &self.commands,
        };
        // Maps of text and lists of text: there is nothing in it that JSON could not say.
        serde_json::to_string_pretty(&all).unwrap_or_default()
    }
}

/// A word that a POSIX shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl fmt::Debug for SandboxSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxSetup").finish_non_exhaustive()
    }
}

impl fmt::Debug for SetupScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetupScope")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
