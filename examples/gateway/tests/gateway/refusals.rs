//! Files that are refused: each message has the file, the key and what was expected, and no value.

use super::TOKEN;
use crate::process::{Site, output};

/// Starts the gateway with a good file of which something is replaced.
pub(super) async fn refused(site: &Site, good: &str, old: &str, new: &str, said: &str) {
    assert!(good.contains(old), "{old}");
    let mut command = site.command(&good.replacen(old, new, 1));
    command.env("SHORT_SECRET", &site.jwt_secret[..31]);
    let output = output(command).await;
    assert!(!output.status.success(), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let file = site.folder.join("gateway.toml").display().to_string();
    let beginning = format!("{file}: {said}");
    assert!(stderr.starts_with(&beginning), "{said}\n{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    site.oracle.saw(format!("refusal {said}"), stderr);
}

#[tokio::test]
async fn a_bad_file_is_refused_by_key_and_expectation_and_never_by_value() {
    let site = Site::new().await;
    let good = site.file(&site.up());
    let (key, secret) = (site.key.as_str(), site.jwt_secret.as_str());
    site.write("two-lines.key", &format!("{key}\nand more\n"));
    site.write("not.pem", key);
    let target = format!("\"http://{}/v1\"", site.upstream.addr);
    let upstream = |line: &str| format!("services.up.{line}");
    let no_source = r#"expected { env = "NAME" } or { file = "PATH" }"#;
    let no_credential =
        r#"credential: expected { env = "NAME" }, { file = "PATH" }, { oauth = {…} }"#;
    let inject =
        r#"inject: expected "bearer", { header = "NAME" }, { header = "NAME", prefix = "TEXT" }"#;
    let https = "https://HOST[:PORT][/PATH]";
    let http = "http://HOST[:PORT][/PATH]";
    let token = "[token]\nsecret = { env = \"PROXY_JWT_SECRET\" }\n";
    let missing = site.folder.join("none.key").display().to_string();
    let of = |name: &str, value: &str| format!("{name} = {value}\n");
    let plaintext = "allow_plaintext = true\n";
    let bearer = "inject = \"bearer\"\n";
    let credential = "credential = { env = \"MY_API_KEY\" }\n";
    let token_secret = "secret = { env = \"PROXY_JWT_SECRET\" }\n";

    // What to replace in the good file, with what, and what is said about it.
    let cases = [
        // missing
        (
            "listen = \"127.0.0.1:0\"\n",
            String::new(),
            "listen: expected an address and a port".to_owned(),
        ),
        (
            token_secret,
            String::new(),
            format!("token.secret: {no_source}"),
        ),
        (
            token,
            String::new(),
            "token: expected a table [token]".into(),
        ),
        (
            &site.up(),
            String::new(),
            "services: expected a table [services.NAME]".into(),
        ),
        (
            &site.up(),
            "[services]\n".into(),
            "services: expected a table [services.NAME]".into(),
        ),
        (bearer, String::new(), upstream(inject)),
        (
            credential,
            String::new(),
            upstream(no_credential),
        ),
        (
            &of("target", &target),
            String::new(),
            upstream(&format!("target: expected {https}")),
        ),
        // of the wrong type
        (
            "\"127.0.0.1:0\"",
            "8787".into(),
            "listen: expected an address and a port".into(),
        ),
        (
            "\"127.0.0.1:0\"",
            "\"localhost\"".into(),
            "listen: expected an address and a port".into(),
        ),
        (
            "threads = 2",
            "threads = \"two\"".into(),
            "threads: expected a number from 1 to 1024".into(),
        ),
        (
            "threads = 2",
            "threads = 0".into(),
            "threads: expected a number from 1 to 1024".into(),
        ),
        (
            plaintext,
            of("allow_plaintext", "\"yes\""),
            upstream("allow_plaintext: expected true or false"),
        ),
        (bearer, of("inject", "\"cookie\""), upstream(inject)),
        (
            bearer,
            of("inject", "{ header = \"a b\" }"),
            upstream(inject),
        ),
        (
            bearer,
            of("inject", "{ header = \"a\", query = \"b\" }"),
            upstream(inject),
        ),
        // unknown
        (
            "threads",
            "treads".into(),
            "treads: expected no such key, only listen, mount,".into(),
        ),
        (
            token_secret,
            format!("{token_secret}sekret = 1\n"),
            "token.sekret: expected no such key".into(),
        ),
        (
            plaintext,
            format!("{plaintext}method = []\n"),
            upstream("method: expected no such key, only preset,"),
        ),
        (
            "credential",
            "credentail".into(),
            upstream("credentail: expected no such key, only preset, target, inject, credential,"),
        ),
        (
            "{ env = \"MY_API_KEY\" }",
            "{ environment = \"A\" }".into(),
            upstream("credential.environment: expected no such key, only env, file, oauth,"),
        ),
        // a secret in the wrong place
        (
            "{ env = \"PROXY_JWT_SECRET\" }",
            format!("\"{secret}\""),
            format!("token.secret: {no_source}"),
        ),
        (
            "{ env = \"MY_API_KEY\" }",
            format!("\"{key}\""),
            upstream(no_credential),
        ),
        (
            "{ env = \"MY_API_KEY\" }",
            format!("k{key}"),
            "line 9: expected TOML (string values must be quoted, expected literal string)".into(),
        ),
        (
            credential,
            format!("{key}\n"),
            "line 9: expected TOML (key with no value, expected `=`)".into(),
        ),
        (
            "threads = 2",
            format!("threads = {}", "7".repeat(30)),
            "line 2: expected TOML (a value out of range)".into(),
        ),
        (
            "[services.up]",
            format!("{token}[services.up]"),
            "line 5: expected TOML (duplicate key)".into(),
        ),
        (
            "MY_API_KEY",
            key.into(),
            upstream("credential.env: expected an environment variable with text (it is not set)"),
        ),
        (
            "PROXY_JWT_SECRET",
            "NO_SUCH_SECRET".into(),
            "token.secret.env: expected an environment variable with text (NO_SUCH_SECRET is not set)"
                .into(),
        ),
        (
            "{ env = \"MY_API_KEY\" }",
            format!("{{ file = \"{key}\" }}"),
            upstream("credential.file: expected a file that can be read (no such file)"),
        ),
        (
            "{ env = \"MY_API_KEY\" }",
            "{ file = \"none.key\" }".into(),
            upstream(&format!(
                "credential.file: expected a file that can be read ({missing}: no such file)"
            )),
        ),
        (
            &target,
            format!("\"https://user:{key}@127.0.0.1\""),
            upstream("allow_plaintext: expected true only with an http:// target"),
        ),
        (
            &of("target", &target),
            format!("target = \"https://user:{key}@127.0.0.1\"\n#"),
            upstream(""),
        ),
        // not good enough
        (
            "PROXY_JWT_SECRET",
            "SHORT_SECRET".into(),
            "token.secret: expected at least 32 bytes".into(),
        ),
        (
            plaintext,
            String::new(),
            upstream(&format!(
                "target: expected {https} (or http:// with allow_plaintext = true)"
            )),
        ),
        (
            plaintext,
            of("allow_plaintext", "false"),
            upstream(&format!(
                "target: expected {https} (or http:// with allow_plaintext = true)"
            )),
        ),
        (
            "/v1\"",
            "/v1?a=b\"".into(),
            upstream(&format!(
                "target: expected {http} (target: has a query or a fragment)"
            )),
        ),
        (
            "\"http://",
            "\"ftp://".into(),
            upstream(&format!("target: expected {http} (target: not http)")),
        ),
        (
            "{ env = \"MY_API_KEY\" }",
            "{ file = \"two-lines.key\" }".into(),
            upstream("credential: expected a key on one line"),
        ),
        (
            "threads = 2",
            format!("public_origin = \"https://gate.example.com/{key}\""),
            "public_origin: expected https://HOST[:PORT] (public origin:".into(),
        ),
        (
            "threads = 2",
            "mount = \"/proxy?a=b\"".into(),
            "mount: expected a plain path".into(),
        ),
        (
            "threads = 2",
            "mount = \"/a/../b\"".into(),
            "mount: expected a plain path".into(),
        ),
        (
            "services.up",
            "services.\"a b\"".into(),
            "services.a b: expected a usable service (service name:".into(),
        ),
        (
            bearer,
            of("inject", "{ header = \"host\" }"),
            "services.up: expected a usable service (service up: a key goes into a header".into(),
        ),
        (
            plaintext,
            format!("{plaintext}ca_file = \"not.pem\"\n"),
            upstream("ca_file: expected none without an https:// target"),
        ),
        (
            "threads = 2",
            "tls = { cert = \"not.pem\", key = \"not.pem\" }".into(),
            "tls.cert: expected a file of certificates in PEM".into(),
        ),
        (
            "threads = 2",
            "tls = { cert = \"none.key\", key = \"not.pem\" }".into(),
            format!("tls.cert: expected a file that can be read ({missing}: no such file)"),
        ),
        (
            "threads = 2",
            "tls = { cert = \"not.pem\" }".into(),
            "tls.key: expected the path of a PEM file".into(),
        ),
    ];
    for (old, new, said) in cases {
        refused(&site, &good, old, &new, &said).await;
    }
    let gateway = site.start(&good).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
}

#[tokio::test]
async fn certificates_of_upstreams_are_refused_by_key() {
    let site = Site::new().await;
    site.write("not.pem", &site.key);
    let service = |name: &str, more: &str| {
        format!(
            "[services.{name}]\ntarget = \"https://127.0.0.1:1\"\ninject = \"bearer\"\n\
             credential = {{ env = \"MY_API_KEY\" }}\n{more}"
        )
    };
    for (services, said) in [
        (
            service("a", "ca_file = \"not.pem\"\n"),
            "services.a.ca_file: expected certificates in PEM",
        ),
        (
            service("a", "ca_file = \"none.pem\"\n"),
            "none.pem: no such file)",
        ),
        (
            service("a", "ca_file = \"not.pem\"\n") + &service("b", ""),
            "services.a.ca_file: expected the same one in all services of this host",
        ),
    ] {
        let output = output(site.command(&site.file(&services))).await;
        assert!(!output.status.success(), "{said}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{said}\n{stderr}");
        site.oracle.saw(said, stderr);
    }
    site.start(&site.file(&service("a", ""))).await;
}

#[tokio::test]
async fn an_address_in_use_is_refused_though_threads_share_theirs() {
    let site = Site::new().await;
    let file = site.file(&site.up());
    let gateway = site.start(&file).await;
    let output = output(site.command(&file.replace("127.0.0.1:0", gateway.address()))).await;
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("gateway.toml: listen: expected a free address"),
        "{stderr}"
    );
}
