//! A key in a file that may change: it is read anew from time to time, and a file that is gone takes its key along.

use std::{
    fmt, fs, io,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::credential::{Secret, Source, SourceError};

/// A key in a file: what is mounted into a container, or kept up to date by an agent.
///
/// The file is looked at while there are requests, once a second at most, so a new key is used a second later at the
/// latest. Line breaks at its end are dropped. When it is gone so is the key, and when there is something else in it the
/// old key is not used longer than that second.
///
/// Replace it by renaming another one over it: then it is whole at any time.
///
/// # Example
///
/// ```
/// use sallygate::{Credential, credential::File};
///
/// let key = Credential::from_source(File::new("/run/secrets/openai"));
/// ```
#[derive(Clone)]
pub struct File {
    path: Arc<Path>,
}

/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(1);

const LIMIT: usize = 64 * 1024;

/// A file that is being replaced, not by renaming, is gone or empty for a moment: so often it is looked at again, after
/// this long.
const LOOKS: usize = 3;
const MOMENT: Duration = Duration::from_millis(50);

impl File {
    /// Names the file. It is first opened when a request needs the key.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
        }
    }

    async fn read(&self) -> Result<Zeroizing<String>, Unread> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        read.unwrap_or(Err(Unread::Failed))
    }
}

#[async_trait]
impl Source for File {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        let mut looks = LOOKS;
        let text = loop {
            looks -= 1;
            match self.read().await {
                Ok(text) => break text,
                Err(Unread::Empty | Unread::Gone) if looks > 0 => {
                    tokio::time::sleep(MOMENT).await;
                }
                Err(Unread::Empty | Unread::NoText) => return Err(SourceError::Malformed),
                Err(Unread::Failed) => return Err(SourceError::Other),
                Err(Unread::Gone) => return Err(SourceError::Missing),
            }
        };
        Ok(Secret::new(&**text).expires_at(now + FRESH))
    }
}

/// Why there is nothing.
enum Unread {
    Empty,
    Failed,
    Gone,
    NoText,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Failed,
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Unread> {
    // A pipe would be waited for, and without end.
    if !fs::metadata(path)?.is_file() {
        return Err(Unread::Failed);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    let file = fs::File::open(path)?;
    file.take(LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LIMIT {
        return Err(Unread::NoText);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Unread::NoText)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Unread::Empty),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// Shows no path: it names what is secret.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}
