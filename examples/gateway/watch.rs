use std::{io, path::PathBuf, thread, time::Duration};

use sallygate::Credential;
use zeroize::Zeroizing;

use crate::{
    say,
    source::{read_file, reason},
};

/// How often key files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// A credential that follows a file.
pub(crate) struct Watched {
    key: String,
    file: PathBuf,
    credential: Credential,
    text: Zeroizing<String>,
    problem: Option<String>,
}

impl Watched {
    pub(crate) fn new(
        key: String,
        file: PathBuf,
        credential: Credential,
        text: Zeroizing<String>,
    ) -> Self {
        Self {
            key,
            file,
            credential,
            text,
            problem: None,
        }
    }

    /// Takes over a key that changed. A file that is gone or bad leaves the old one.
    fn look(&mut self) {
        let problem = match read_file(&self.file) {
            Ok(text) if text == self.text => None,
            Ok(text) => match self.credential.rotate(text.as_str()) {
                Ok(()) => {
                    self.text = text;
                    say(&format!("{}: the key changed", self.key));
                    None
                }
                Err(problem) => Some(problem.to_string()),
            },
            Err(problem) => Some(reason(&problem)),
        };
        if problem != self.problem {
            if let Some(problem) = &problem {
                say(&format!("{}: the old key stays ({problem})", self.key));
            }
            self.problem = problem;
        }
    }
}

/// Looks at key files for as long as the process lives. What counts is their content: times of modification are too
/// coarse, and a mounted secret changes by a link.
pub(crate) fn start(mut all: Vec<Watched>) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let look = move || {
        loop {
            thread::sleep(INTERVAL);
            all.iter_mut().for_each(Watched::look);
        }
    };
    thread::Builder::new()
        .name("key files".into())
        .spawn(look)?;
    Ok(())
}
