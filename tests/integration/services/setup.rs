use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sallygate::{
    Api, Credential, Target,
    service::{SandboxSetup, SetupScope},
};
use sallygate_test_support::{Reply, Slot, Stack, program};
use serde_json::Value;

use super::known;

const HOSTILE: [&str; 13] = [
    "plain",
    "two words",
    "it's \"quoted\"",
    "$(touch pwned) `touch pwned` ${HOME} $HOME",
    "'; touch pwned; '",
    "it's `touch pwned` $(touch pwned) \"$HOME\"",
    "line one\nline two\n",
    "back\\slash \\n \\",
    "*?[a]~ # ! & | < > ( ) { }",
    "=a=b",
    "-n -e",
    "tab\there",
    "üñí 漢",
];

/// A home directory of its own.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sallygate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &self.0)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("NO_PROXY", "*")
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    /// Has a shell evaluate `setup`, and then run `then`.
    fn evaluates(&self, setup: &str, then: &str) -> String {
        let script = format!("eval \"$1\" && {{ {then}\n}}");
        let output = self.run("sh", &["-euc", &script, "sh", setup]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaint.is_empty(),
            "{complaint}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn mode(&self, path: impl AsRef<Path>) -> u32 {
        let path = self.0.join(path);
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hostile() -> SandboxSetup {
    HOSTILE
        .iter()
        .enumerate()
        .fold(SandboxSetup::new(), |setup, (index, value)| {
            setup.env(format!("V{index}"), *value)
        })
}

#[test]
fn a_shell_takes_values_as_they_are() {
    let home = Home::new("shell");
    for (index, value) in HOSTILE.iter().enumerate() {
        let setup = hostile()
            .file(format!("{value}/{index}"), *value)
            .command(["printf", "%s", value]);
        let shown = home.evaluates(&setup.to_shell(), &format!("env printf %s \"$V{index}\""));
        assert_eq!(shown, format!("{value}{value}"));
        let file = home.0.join(value).join(index.to_string());
        assert_eq!(fs::read_to_string(file).unwrap(), *value);
    }
    assert!(!home.0.join("pwned").exists());
    // What is exported reaches the programs that are started then.
    let shown = home.evaluates(&hostile().to_shell(), "env | grep ^V0=");
    assert_eq!(shown, "V0=plain\n");
}

#[test]
fn files_are_for_their_owner_alone() {
    let home = Home::new("files");
    fs::write(home.0.join("old"), "before, and longer").unwrap();
    fs::set_permissions(home.0.join("old"), fs::Permissions::from_mode(0o644)).unwrap();
    let setup = SandboxSetup::new()
        .file("new", "new\n")
        .file(".config/tool/key", "-secret % $x\\n")
        .file("old", "after")
        .file("empty", "");
    home.evaluates(&setup.to_shell(), "umask >umask");
    for (path, content) in [
        ("new", "new\n"),
        (".config/tool/key", "-secret % $x\\n"),
        ("old", "after"),
        ("empty", ""),
    ] {
        assert_eq!(fs::read_to_string(home.0.join(path)).unwrap(), content);
        assert_eq!(home.mode(path), 0o600, "{path}");
    }
    assert_eq!(home.mode(".config/tool"), 0o700);
    // The shell's own mask is as it was.
    let umask = fs::read_to_string(home.0.join("umask")).unwrap();
    assert_ne!(umask.trim(), "0077");
}

#[test]
fn dotenv_files_are_read_back() {
    let home = Home::new("dotenv");
    let text = hostile().to_dotenv();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), HOSTILE.len(), "one line for each: {text}");
    for line in lines {
        let (name, written) = line.split_once('=').unwrap();
        let value = HOSTILE[name[1..].parse::<usize>().unwrap()];
        assert_eq!(parsed(written), value, "{line}");
    }
    fs::write(home.0.join("env"), &text).unwrap();
    for (index, value) in HOSTILE.iter().enumerate() {
        let show = format!("set -a; . ./env; printf %s \"$V{index}\"");
        let output = home.run("sh", &["-euc", &show]);
        assert!(output.status.success() && output.stderr.is_empty());
        // A shell has no other way to write a line break between double quotes than one.
        let expected = value.replace('\n', "\\n");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
    assert!(!home.0.join("pwned").exists());
}

/// As the libraries that read such files do.
fn parsed(written: &str) -> String {
    if let Some(literal) = written
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return literal.to_owned();
    }
    let Some(quoted) = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        assert!(!written.contains([' ', '#', '$', '`', '"', '\'']));
        return written.to_owned();
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next().unwrap() {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            '$' | '`' | '"' => panic!("unescaped: {written}"),
            other => value.push(other),
        }
    }
    value
}

#[test]
fn json_holds_everything() {
    let setup = hostile()
        .file("a/b", HOSTILE[5])
        .command(["one", "two words"])
        .command(["three"]);
    let json: Value = serde_json::from_str(&setup.to_json()).unwrap();
    let env: BTreeMap<String, String> = serde_json::from_value(json["env"].clone()).unwrap();
    assert_eq!(env.len(), HOSTILE.len());
    assert_eq!(env["V3"], HOSTILE[3]);
    assert_eq!(json["files"], serde_json::json!({"a/b": HOSTILE[5]}));
    let commands = serde_json::json!([["one", "two words"], ["three"]]);
    assert_eq!(json["commands"], commands);
    assert_eq!(json.as_object().unwrap().len(), 3);
}

#[test]
fn of_two_values_the_later_counts() {
    let one = SandboxSetup::new()
        .env("A", "1")
        .env("B", "1")
        .file("f", "1")
        .command(["one"]);
    let two = SandboxSetup::new()
        .env("B", "2")
        .file("f", "2")
        .command(["two"]);
    let merged: Value = serde_json::from_str(&one.merge(two).to_json()).unwrap();
    let expected = serde_json::json!({
        "env": {"A": "1", "B": "2"}, "files": {"f": "2"}, "commands": [["one"], ["two"]],
    });
    assert_eq!(merged, expected);
}

struct Named(Target);

#[sallygate::async_trait]
impl sallygate::ServiceConfig for Named {
    fn target(&self) -> &Target {
        &self.0
    }

    fn validate<'r>(&self, request: &'r http::request::Parts) -> Option<std::borrow::Cow<'r, str>> {
        sallygate::extract::bearer(request)
    }

    async fn transform(
        &self,
        request: http::Request<sallygate::Body>,
        _: &sallygate::Context,
    ) -> Result<sallygate::Outcome, sallygate::TransformError> {
        Ok(request.into())
    }

    fn setup(&self, scope: &SetupScope<'_>) -> SandboxSetup {
        SandboxSetup::new()
            .env("NAME", scope.service().as_str())
            .env("PREFIX", scope.variable_prefix())
            .env("BASE", scope.base())
            .file(".named", scope.token())
    }
}

#[tokio::test]
async fn all_services_are_set_up_together() {
    let stack = Stack::new().await;
    let key = || stack.key.clone();
    let layer = stack
        .empty_layer()
        .service("my-api", Api::bearer(stack.target(), key()))
        .unwrap()
        .service("9.own", Named(stack.target()))
        .unwrap();
    let layer = Api::known_names().fold(layer, |layer, name| {
        layer.service(name, known(name, key())).unwrap()
    });
    let setup = layer
        .handle()
        .sandbox_setup_at("http://gate.test:8080", "TOKEN")
        .unwrap();
    let json: Value = serde_json::from_str(&setup.to_json()).unwrap();
    let base = "http://gate.test:8080/proxy";
    let expected = serde_json::json!({
        "ANTHROPIC_API_KEY": "TOKEN",
        "ANTHROPIC_BASE_URL": format!("{base}/anthropic"),
        "BASE": format!("{base}/9.own"),
        "GEMINI_API_KEY": "TOKEN",
        "GITHUB_API_URL": format!("{base}/github"),
        "GITHUB_GRAPHQL_URL": format!("{base}/github/graphql"),
        "GITHUB_TOKEN": "TOKEN",
        "GOOGLE_GEMINI_BASE_URL": format!("{base}/gemini"),
        "MY_API_BASE_URL": format!("{base}/my-api"),
        "MY_API_KEY": "TOKEN",
        "NAME": "9.own",
        "OPENAI_API_KEY": "TOKEN",
        "OPENAI_BASE_URL": format!("{base}/openai/v1"),
        "PREFIX": "_9_OWN",
        "SLACK_API_URL": format!("{base}/slack/"),
        "SLACK_BOT_TOKEN": "TOKEN",
        "STRIPE_API_BASE": format!("{base}/stripe"),
        "STRIPE_API_KEY": "TOKEN",
    });
    assert_eq!(json["env"], expected);
    assert_eq!(json["files"], serde_json::json!({".named": "TOKEN"}));
    let shown = Home::new("all").evaluates(&setup.to_shell(), "printf %s \"$OPENAI_BASE_URL\"");
    assert_eq!(shown, "http://gate.test:8080/proxy/openai/v1");

    stack.oracle.saw_debug(&setup);
    for origin in ["gate.test", "https://gate.test/x", "ftp://gate.test", ""] {
        assert!(layer.handle().sandbox_setup_at(origin, "TOKEN").is_err());
    }
    // Without an origin of the proxy's there is nothing to say; with one, it is not asked for again.
    let none = layer.handle().sandbox_setup("TOKEN").unwrap_err();
    assert_eq!(none.to_string(), "public origin: there is none");
    let layer = layer.public_origin("http://gate.test:8080").unwrap();
    let again = layer.handle().sandbox_setup("TOKEN").unwrap();
    assert_eq!(again.to_json(), setup.to_json());
}

/// What an `eval` of the set-up leaves behind is all that git needs, and it may be repeated with a new token.
#[tokio::test(flavor = "multi_thread")]
async fn git_needs_nothing_but_the_set_up() {
    if program("git").is_none() {
        return;
    }
    let stack = Stack::answering(|request| {
        let line = request.line();
        let head = "200 OK\ncontent-type: application/x-git-upload-pack-advertisement";
        match line.contains("/acme/site") {
            true => Reply::response(head, ADVERTISEMENT),
            false => Reply::response(
                "404 Not Found\ncontent-type: text/plain",
                "no such repository",
            ),
        }
    })
    .await;
    let slot = Slot::Basic("x-access-token").show(&stack.secret_key);
    stack.upstream.accept(slot);
    let service = |web, key: &Credential| {
        let api = Target::new("https://api.github.com").unwrap();
        Api::github_at(web, api, key.clone())
    };
    let down = Target::dangerous_plaintext("http://localhost:1").unwrap();
    let layer = stack
        .empty_layer()
        .service("github", service(super::origin(&stack), &stack.key))
        .unwrap()
        .service("down", service(down, &stack.key))
        .unwrap();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let web = format!("http://{}", stack.upstream.addr);
    let home = Home::new("git");
    let gate = format!("http://{}", front.addr);
    let tell = |token: &str| {
        let setup = handle.sandbox_setup_at(&gate, token).unwrap();
        home.evaluates(&setup.to_shell(), ":");
    };
    tell("garbage");
    let refused = home.run("git", &["ls-remote", &format!("{web}/acme/site.git")]);
    assert!(!refused.status.success());
    tell(&stack.token());

    let base = format!("{gate}/proxy/github");
    let host = "127.0.0.1";
    for url in [
        format!("{web}/acme/site.git"),
        format!("git@{host}:acme/site.git"),
        format!("ssh://git@{host}/acme/site.git"),
    ] {
        let output = home.run("git", &["ls-remote", "--get-url", &url]);
        let rewritten = String::from_utf8(output.stdout).unwrap();
        assert_eq!(rewritten.trim(), format!("{base}/acme/site.git"), "{url}");
    }
    let config = fs::read_to_string(home.0.join(".gitconfig")).unwrap();
    assert_eq!(
        config.matches("extraheader").count(),
        2,
        "one for each service"
    );
    assert_eq!(config.matches("insteadOf").count(), 6);

    let listed = home.run("git", &["ls-remote", &format!("{web}/acme/site.git")]);
    assert!(listed.status.success(), "{listed:?}");
    let head = "0123456789abcdef0123456789abcdef01234567\trefs/heads/main\n";
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), head);
    let line = stack.upstream.last().line().to_owned();
    assert_eq!(
        line,
        "GET /acme/site.git/info/refs?service=git-upload-pack HTTP/1.1"
    );

    let complaint = |url: &str| {
        let output = home.run("git", &["ls-remote", url]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = complaint(&format!("{web}/acme/none.git"));
    assert!(unknown.contains("remote: no such repository"), "{unknown}");
    let down = complaint("http://localhost:1/acme/site.git");
    let told = "remote: The upstream could not be reached (PROXY_TARGET_ERROR, request ";
    assert!(down.contains(told), "{down}");
}

/// One branch, in the first version of the protocol (gitprotocol-http(5)).
const ADVERTISEMENT: &str = "001e# service=git-upload-pack\n0000\
    003d0123456789abcdef0123456789abcdef01234567 refs/heads/main\n0000";
