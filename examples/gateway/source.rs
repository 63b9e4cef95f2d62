use std::{
    env, fs, io,
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
        let env = source.text("env", "the name of an environment variable")?;
        let file = source.text("file", "the path of a file")?;
        source.end("env, file")?;
        match (env, file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(file)) => Ok(Self::File(folder.join(file))),
            _ => Err(section.refuse(key, EXPECTED)),
        }
    }

    /// Reads the secret. A refusal shows no variable or file name: it may be the secret, put in the wrong place.
    pub(crate) fn read(&self, key: &str) -> Result<Zeroizing<String>, Refusal> {
        match self {
            Self::Env(name) => match env::var(name) {
                Ok(text) => Ok(Zeroizing::new(text)),
                Err(_) => Err(Refusal::new(
                    format!("{key}.env"),
                    "an environment variable that is set",
                )),
            },
            Self::File(file) => read_file(file).map_err(|problem| {
                Refusal::new(
                    format!("{key}.file"),
                    format!("a text file that can be read ({})", problem.kind()),
                )
            }),
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
