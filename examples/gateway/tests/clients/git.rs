use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use sallygate_test_support::{
    matrix::{GIT, Matrix, OF_THE_SYSTEM},
    program,
};

use super::{
    git_server::GitServer,
    stage::{Stage, said},
};
use crate::process::Site;

const FILES: usize = 5_000;
const MIB: usize = 1 << 20;

fn table(name: &str, api: SocketAddr) -> String {
    format!(
        "[services.{name}]\npreset = \"github\"\ntarget = \"http://{api}\"\nallow_plaintext = true\n\
         credential = {{ env = \"MY_API_KEY\" }}\nweb = \"http://{api}\"\n"
    )
}

/// A user of git in a sandbox.
struct User<'s> {
    stage: &'s Stage,
    config: PathBuf,
}

impl<'s> User<'s> {
    /// `commands` are of the set-up of a sandbox.
    async fn new(stage: &'s Stage, name: &str, commands: &[Vec<String>]) -> Self {
        let config = stage.site.folder.join(format!("{name}.gitconfig"));
        let user = Self { stage, config };
        assert!(!commands.is_empty());
        for command in commands {
            let words: Vec<_> = command.iter().map(String::as_str).collect();
            assert_eq!(words[0], "git");
            user.git(&words[1..]).await;
        }
        for (key, value) in [
            ("user.name", "Ada"),
            ("user.email", "ada@example.com"),
            // Nothing in the background that outlives the test.
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
        ] {
            user.git(&["config", "--global", key, value]).await;
        }
        user
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stage.client("git".as_ref());
        command
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.stage.run(&mut self.command(arguments)).await
    }

    /// What it printed. It must succeed.
    async fn git(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What it complained about. It must fail.
    async fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The repository behind the server, which has its own copy of git.
struct Origin {
    path: PathBuf,
}

impl Origin {
    /// A bare repository with 5,000 files, made in one commit, after an empty one.
    fn new(folder: &Path) -> Self {
        let origin = Self {
            path: folder.join("acme/site.git"),
        };
        fs::create_dir_all(&origin.path).unwrap();
        origin.git(&["init", "--quiet", "--bare", "--initial-branch=main"], "");
        let mut stream = commit("refs/heads/main", "empty", "");
        let mut files = String::new();
        for number in 0..FILES {
            let text = format!("file {number}\n").repeat(1 + number % 7);
            let path = format!("folder-{}/file-{number}.txt", number % 50);
            let _ = write!(files, "M 644 inline {path}\ndata {}\n{text}\n", text.len());
        }
        stream += &commit("refs/heads/main", "files", &files);
        origin.git(&["fast-import", "--quiet"], &stream);
        origin
    }

    fn git(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new("git");
        let mut child = command
            .arg("-C")
            .arg(&self.path)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "refs/heads/main"], "")
    }

    /// A new commit on top.
    fn advance(&self) {
        let files = "M 644 inline news.txt\ndata 5\nnews\n\n";
        let onto = format!("from {}\n{files}", self.head());
        let stream = commit("refs/heads/main", "news", &onto);
        self.git(&["fast-import", "--quiet"], &stream);
    }
}

/// A commit for `git fast-import`; `rest` says what changes.
fn commit(branch: &str, message: &str, rest: &str) -> String {
    let length = message.len();
    let who = "committer Ada <ada@example.com> 1700000000 +0000";
    format!("commit {branch}\n{who}\ndata {length}\n{message}\n{rest}\n")
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn git_works() {
    if program("git").is_none() {
        return;
    }
    let site = Site::new().await;
    let origin = Origin::new(&site.folder.join("srv"));
    let server = GitServer::start(&site, &site.folder.join("srv")).await;
    let stage = Stage::up(site, table, server.server.addr).await;
    let user = User::new(&stage, "user", stage.commands()).await;
    // Where it would be without the gateway.
    let repository = format!("http://{}/acme/site.git", server.server.addr);
    let repository = repository.as_str();
    eprintln!("{}", user.git(&["--version"]).await);
    let matrix = Matrix::of(&GIT, "git", OF_THE_SYSTEM);

    user.git(&["clone", "--quiet", repository, "full"]).await;
    let listed = user.git(&["-C", "full", "ls-files"]).await;
    assert_eq!(listed.lines().count(), FILES);
    assert_eq!(
        user.git(&["-C", "full", "rev-parse", "HEAD"]).await,
        origin.head()
    );
    assert_eq!(user.git(&["-C", "full", "status", "--porcelain"]).await, "");
    matrix.report("clone of 5,000 files");

    user.git(&["clone", "--quiet", "--depth", "1", repository, "shallow"])
        .await;
    let count = ["-C", "shallow", "rev-list", "--count", "HEAD"];
    assert_eq!(user.git(&count).await, "1");
    let listed = user.git(&["-C", "shallow", "ls-files"]).await;
    assert_eq!(listed.lines().count(), FILES);
    user.git(&["-C", "shallow", "fetch", "--quiet", "--unshallow"])
        .await;
    assert_eq!(user.git(&count).await, "2");
    matrix.report("shallow clone");

    origin.advance();
    user.git(&["-C", "full", "fetch", "--quiet"]).await;
    let fetched = user.git(&["-C", "full", "rev-parse", "origin/main"]).await;
    assert_eq!(fetched, origin.head());
    matrix.report("fetch");

    // With many commits of its own, git says what it has in a request that it compresses.
    let mut own = String::new();
    for number in 0..200 {
        let path = format!("M 644 inline own.txt\ndata 4\n{number:03}\n\n");
        // Newer than all there is, so these are named first.
        own += &commit("refs/heads/own", "own", &path).replace(" 17", " 18");
    }
    let mut import = user.command(&["-C", "full", "fast-import", "--quiet"]);
    let script = stage.site.write("own", &own);
    let import = import.stdin(fs::File::open(script).unwrap()).status();
    assert!(import.unwrap().success());
    origin.advance();
    user.git(&["-C", "full", "fetch", "--quiet"]).await;
    let calls = server.calls();
    assert!(calls.iter().any(|call| call.has("content-encoding: gzip")));
    matrix.report("compressed request");

    user.git(&["-C", "full", "merge", "--quiet", "--ff-only", "origin/main"])
        .await;
    let full = stage
        .client("git".as_ref())
        .get_current_dir()
        .unwrap()
        .join("full");
    let push = async |name: &str, content: &[u8]| {
        fs::write(full.join(name), content).unwrap();
        user.git(&["-C", "full", "add", name]).await;
        user.git(&["-C", "full", "commit", "--quiet", "--message", name])
            .await;
        user.git(&["-C", "full", "push", "--quiet", "origin", "HEAD:main"])
            .await;
        let head = user.git(&["-C", "full", "rev-parse", "HEAD"]).await;
        assert_eq!(origin.head(), head);
    };
    push("small.txt", b"small\n").await;
    matrix.report("push");

    push("large.bin", &noise(32 * MIB)).await;
    let last = server.calls().pop().unwrap();
    assert!(
        last.line()
            .starts_with("POST /acme/site.git/git-receive-pack "),
        "{}",
        last.line()
    );
    assert!(last.has("transfer-encoding: chunked"), "{}", last.line());
    assert!(last.length > 32 * MIB);
    origin.git(&["fsck", "--connectivity-only"], "");
    matrix.report("push of 32 MiB");

    let arrived = server.calls().len();
    let mut commands = stage.commands().to_vec();
    for word in commands.iter_mut().flatten() {
        *word = word.replace(&stage.token, &stage.bad_token());
    }
    let stranger = User::new(&stage, "stranger", &commands).await;
    let mut clone = stranger.command(&["clone", repository, "refused"]);
    let output = stage.run(clone.env("GIT_CURL_VERBOSE", "1")).await;
    let complaint = said(&output);
    assert!(!output.status.success(), "{complaint}");
    assert!(
        complaint.contains("HTTP/1.1 401 Unauthorized"),
        "{complaint}"
    );
    assert!(complaint.contains("could not read Username"), "{complaint}");
    matrix.report("refused token");

    let lost = User::new(&stage, "lost", stage.commands_of_down()).await;
    let down = lost
        .git(&["config", "--get-regexp", "insteadof", "^http"])
        .await;
    let down = format!("{}acme/site.git", down.rsplit(' ').next().unwrap());
    let complaint = lost.fails(&["clone", &down, "lost"]).await;
    assert!(
        complaint.contains("The requested URL returned error: 502"),
        "{complaint}"
    );
    matrix.report("server unreachable");
    assert_eq!(server.calls().len(), arrived);
}
