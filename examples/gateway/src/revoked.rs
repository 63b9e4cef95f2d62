use std::{fs, path::PathBuf};

use sallygate::{ConfigError, Revocations};

use crate::{refusal::Refusal, secret::unreadable, section::Section};

/// A file that says which tokens are no longer good, a line for each of them, or for those of a session or a sandbox.
pub(crate) struct Revoked {
    key: String,
    file: PathBuf,
}

/// What such a line says.
pub(crate) enum Revocation {
    Sandbox(String),
    Session(String, String),
    Token(String),
}

const EXPECTED: &str =
    "a file with `sandbox ID`, `session SANDBOX ID` or `token ID` in each line, ids without blanks";

impl Revoked {
    pub(crate) fn optional(section: &mut Section, key: &str) -> Result<Option<Self>, Refusal> {
        let file = section.file(key, "the path of a file")?;
        Ok(file.map(|file| Self {
            key: section.path(key),
            file,
        }))
    }

    /// All that the file says, or nothing: half of a list would be taken for the whole.
    pub(crate) fn read(&self) -> Result<Vec<Revocation>, Refusal> {
        let text = fs::read_to_string(&self.file)
            .map_err(|problem| unreadable(&self.key, &self.file, &problem))?;
        // Not the real one: whether tokens can bear these ids is to be known of all before any is revoked.
        let list = Revocations::new();
        let lines = (1..).zip(text.lines());
        lines
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(number, line)| {
                let wrong = |problem| {
                    let expected = format!("{EXPECTED} (line {number}: {problem})");
                    Refusal::new(&self.key, expected)
                };
                let revocation = Revocation::parse(line).ok_or_else(|| wrong("not so".into()))?;
                let told = revocation.tell(&list);
                told.map_err(|problem| wrong(problem.to_string()))?;
                Ok(revocation)
            })
            .collect()
    }
}

impl Revocation {
    fn parse(line: &str) -> Option<Self> {
        // Who leaves a blank or a remark behind an id means the id without it, and would revoke nobody.
        let words: Vec<&str> = line.split(char::is_whitespace).collect();
        match *words.as_slice() {
            ["sandbox", id] => Some(Self::Sandbox(id.into())),
            ["session", sandbox, id] => Some(Self::Session(sandbox.into(), id.into())),
            ["token", id] => Some(Self::Token(id.into())),
            _ => None,
        }
    }

    pub(crate) fn tell(&self, list: &Revocations) -> Result<(), ConfigError> {
        match self {
            Self::Sandbox(id) => list.revoke_sandbox(id),
            Self::Session(sandbox, id) => list.revoke_session(sandbox, id),
            Self::Token(id) => list.revoke_token(id),
        }
    }
}
