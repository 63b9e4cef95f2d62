use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use sallygate::{
    Credential, async_trait,
    credential::{File, Secret, Source, SourceError},
};
use sallygate_test_support::{PATIENCE, program};

use super::grants::{Grants, refused};

/// A directory of its own, for as long as this lives.
struct Directory(PathBuf);

impl Directory {
    fn new(grants: &Grants) -> Self {
        let name = format!(
            "sallygate-{}-{}",
            std::process::id(),
            grants.endpoint.addr.port()
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("key")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Watched {
    grants: Grants,
    directory: Directory,
    key: Credential,
}

impl Watched {
    async fn new() -> Self {
        let grants = Grants::new().await;
        let directory = Directory::new(&grants);
        let key = grants.seen(File::new(directory.file()));
        Self {
            grants,
            directory,
            key,
        }
    }

    /// Another key, known to the upstream.
    fn key(&self) -> String {
        let key = self.grants.stack.oracle.secret("key in a file");
        self.grants.ledger.know(key.clone());
        key
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        let new = self.directory.0.join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.directory.file()).unwrap();
    }

    async fn status(&self) -> u16 {
        self.grants.get(&self.key).await.status
    }

    async fn fails(&self, error: SourceError) {
        refused(&self.grants.get(&self.key).await);
        assert_eq!(self.grants.failure(&self.key).await, error);
    }

    fn later(&self) {
        self.grants.stack.clock.advance(1);
    }
}

#[tokio::test]
async fn a_changed_file_is_used_a_second_later_at_the_latest() {
    let watched = Watched::new().await;
    // As editors, `echo`, Windows and kubectl leave them.
    for (number, end) in ["", "\n", "\r\n", "\n\n"].into_iter().enumerate() {
        watched.write(watched.key() + end);
        watched.later();
        for _ in 0..2 {
            assert_eq!(watched.status().await, 200, "{end:?}");
            assert_eq!(watched.grants.received().last(), Some(&(number + 1)));
        }
    }
    watched.write(watched.key());
    assert_eq!(watched.status().await, 200);
    let before = *watched.grants.received().last().unwrap();
    watched.later();
    assert_eq!(watched.status().await, 200);
    assert_eq!((before, watched.grants.received().last()), (4, Some(&5)));
}

#[tokio::test]
async fn a_key_goes_with_its_file_and_comes_back_with_it() {
    let watched = Watched::new().await;
    watched.fails(SourceError::Missing).await;
    for number in 1..=2 {
        watched.write(watched.key());
        watched.later();
        assert_eq!(watched.status().await, 200);
        assert_eq!(watched.grants.received().last(), Some(&number));

        fs::remove_file(watched.directory.file()).unwrap();
        watched.later();
        watched.fails(SourceError::Missing).await;
    }
    assert_eq!(watched.grants.received().len(), 2);
}

#[tokio::test]
async fn what_is_no_key_is_not_used_and_the_next_one_is() {
    let watched = Watched::new().await;
    let secret = watched.grants.stack.oracle.secret("key in a bad file");
    let malformed = SourceError::Malformed;
    for content in [
        Vec::new(),
        b"\n\n".to_vec(),
        b"\x00\x01\xff\xfe".to_vec(),
        [secret.as_bytes(), b"\xff"].concat(),
        format!("{secret}\nanother line\n").into(),
        format!(" {secret}").into(),
        format!("{secret}é").into(),
        secret.repeat(2000).into(),
        vec![b'a'; 64 * 1024 + 1],
    ] {
        watched.write(content);
        watched.later();
        watched.fails(malformed).await;
        watched.write(watched.key());
        watched.later();
        assert_eq!(watched.status().await, 200);
    }
    fs::remove_file(watched.directory.file()).unwrap();
    fs::create_dir(watched.directory.file()).unwrap();
    watched.later();
    watched.fails(SourceError::Other).await;
    fs::remove_dir(watched.directory.file()).unwrap();
    watched.write(watched.key());
    watched.later();
    assert_eq!(watched.status().await, 200);
}

/// Writes the file while it is being read.
#[derive(Debug)]
struct Late {
    file: File,
    path: PathBuf,
    key: String,
}

#[async_trait]
impl Source for Late {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        let mut fetch = self.file.fetch(now);
        let looked = tokio::time::timeout(Duration::from_millis(20), &mut fetch).await;
        assert!(looked.is_err(), "it has not given up");
        fs::write(&self.path, &self.key).unwrap();
        fetch.await
    }
}

/// Not renamed over, as it should be: for a moment there is nothing.
#[tokio::test]
async fn a_file_that_is_just_being_replaced_is_waited_for() {
    let watched = Watched::new().await;
    for empty in [true, false] {
        match empty {
            true => watched.write(""),
            false => fs::remove_file(watched.directory.file()).unwrap(),
        }
        let late = Credential::from_source(Late {
            file: File::new(watched.directory.file()),
            path: watched.directory.file(),
            key: watched.key(),
        });
        assert_eq!(watched.grants.get(&late).await.status, 200);
    }
    assert_eq!(watched.grants.received(), [1, 2]);
}

#[tokio::test]
async fn a_refused_key_is_read_again_at_once() {
    let watched = Watched::new().await;
    watched.write(watched.key());
    assert_eq!(watched.status().await, 200);
    watched.write(watched.key());
    watched.grants.ledger.revoke_first();
    assert_eq!(watched.status().await, 200);
    assert_eq!(watched.grants.received(), [1, 1, 2]);
}

#[tokio::test]
async fn a_pipe_is_not_waited_for() {
    let watched = Watched::new().await;
    let Some(mut mkfifo) = program("mkfifo") else {
        return;
    };
    let made = mkfifo.arg(watched.directory.file()).status();
    assert!(made.unwrap().success());
    let fails = watched.fails(SourceError::Other);
    tokio::time::timeout(PATIENCE / 2, fails).await.unwrap();
}
