use std::{
    env::{self, VarError},
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::section::{Refusal, Section};

/// Where a secret comes from: never the gateway file itself.
pub(crate) enum Source {
    Env(String),
    File(PathBuf),
}

const EXPECTED: &str = r#"{ env = "NAME" } or { file = "PATH" }"#;

impl Source {
    pub(crate) fn parse(section: &mut Section, key: &str, folder: &Path) -> Result<Self, Refusal> {
        let mut source = section.required_section(key, EXPECTED)?;
        source.only(&["env", "file"])?;
        let env = source.text("env", "the name of an environment variable")?;
        let file = source.text("file", "the path of a file")?;
        match (env, file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(file)) => Ok(Self::File(folder.join(file))),
            _ => Err(section.refuse(key, EXPECTED)),
        }
    }

    /// Reads the secret. A refusal names the variable or the file if it looks like one: it may be the secret itself,
    /// put in the wrong place.
    pub(crate) fn read(&self, key: &str) -> Result<Zeroizing<String>, Refusal> {
        match self {
            Self::Env(name) => env::var(name).map(Zeroizing::new).map_err(|problem| {
                let state = match problem {
                    VarError::NotPresent => "not set",
                    VarError::NotUnicode(_) => "not text",
                };
                let name = if is_variable(name) { name } else { "it" };
                let expected = format!("an environment variable with text ({name} is {state})");
                Refusal::new(format!("{key}.env"), expected)
            }),
            Self::File(file) => {
                read_file(file).map_err(|problem| unreadable(format!("{key}.file"), file, &problem))
            }
        }
    }
}

/// The text of a file, without the newline that editors put at its end.
pub(crate) fn read_file(file: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(fs::read_to_string(file)?);
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

pub(crate) fn unreadable(key: impl Into<String>, file: &Path, problem: &io::Error) -> Refusal {
    let mut reason = reason(problem);
    if is_file_name(file) {
        reason = format!("{}: {reason}", file.display());
    }
    Refusal::new(key, format!("a file that can be read ({reason})"))
}

/// What kept a file from being read.
pub(crate) fn reason(problem: &io::Error) -> String {
    match problem.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::InvalidData => "not text".into(),
        kind => kind.to_string(),
    }
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// Keys do not end like `.pem` or `.key`.
fn is_file_name(file: &Path) -> bool {
    let extension = file.extension().unwrap_or_default().as_encoded_bytes();
    matches!(extension.len(), 1..=4) && extension.iter().all(u8::is_ascii_lowercase)
}
