use std::{
    env::{self, VarError},
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{refusal::Refusal, section::Section};

/// A secret that is read when the gateway starts. It never stands in the gateway file itself.
pub(crate) struct Secret {
    key: String,
    origin: Origin,
}

enum Origin {
    Env(String),
    File(PathBuf),
}

const EXPECTED: &str = r#"{ env = "NAME" } or { file = "PATH" }"#;

impl Secret {
    pub(crate) fn required(section: &mut Section, key: &str) -> Result<Self, Refusal> {
        Self::optional(section, key)?.ok_or_else(|| section.refuse(key, EXPECTED))
    }

    pub(crate) fn optional(section: &mut Section, key: &str) -> Result<Option<Self>, Refusal> {
        let table = section.section(key, EXPECTED)?;
        table.map(Self::parse).transpose()
    }

    pub(crate) fn parse(mut table: Section) -> Result<Self, Refusal> {
        table.only(&["env", "file"])?;
        let env = table.text("env", "the name of an environment variable")?;
        let file = table.file("file", "the path of a file")?;
        let key = table.name().to_owned();
        let origin = match (env, file) {
            (Some(name), None) => Origin::Env(name),
            (None, Some(file)) => Origin::File(file),
            _ => return Err(Refusal::new(key, EXPECTED)),
        };
        Ok(Self { key, origin })
    }

    /// The key that it stands under.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The file that it is in, if it is in one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Env(_) => None,
            Origin::File(file) => Some(file),
        }
    }

    /// Reads the secret. A refusal names the variable or the file if it looks like one: it may be the secret itself,
    /// put in the wrong place.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, Refusal> {
        match &self.origin {
            Origin::Env(name) => env::var(name).map(Zeroizing::new).map_err(|problem| {
                let state = match problem {
                    VarError::NotPresent => "not set",
                    VarError::NotUnicode(_) => "not text",
                };
                let name = if is_variable(name) { name } else { "it" };
                let expected = format!("an environment variable with text ({name} is {state})");
                Refusal::new(format!("{}.env", self.key), expected)
            }),
            Origin::File(file) => read_file(file)
                .map_err(|problem| unreadable(format!("{}.file", self.key), file, &problem)),
        }
    }
}

/// The text of a file, without the line breaks that editors put at its end.
fn read_file(file: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(fs::read_to_string(file)?);
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
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
