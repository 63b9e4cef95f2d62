//! As `refusals`, for what a service's table says of places, rules and presets.

use super::{TOKEN, refusals::refused};
use crate::process::Site;

#[tokio::test]
async fn places_and_rules_are_refused_by_key() {
    let site = Site::new().await;
    let good = site.file(&site.up());
    let key = site.key.as_str();
    let rules = "methods = [\"GET\"]\n";
    for (new, said) in [
        (
            format!("inject = [{{ header = \"a\" }}, \"{key}\"]"),
            "inject[1]: expected \"bearer\",",
        ),
        ("inject = []".into(), "inject: expected \"bearer\","),
        (
            "inject = { cookies = \"a\" }".into(),
            "inject.cookies: expected no such key, only header,",
        ),
        (
            "inject = { header = 7 }".into(),
            "inject.header: expected a text",
        ),
        (
            "inject = { prefix = \"Token \" }".into(),
            "inject: expected \"bearer\",",
        ),
        (
            "inject = { query = \"a\", prefix = \"b\" }".into(),
            "inject: expected \"bearer\",",
        ),
        (
            "inject = { path = \"/bot\" }".into(),
            "inject: expected a place for a key (place: not a path",
        ),
        (
            "inject = { cookie = \"a b\" }".into(),
            "inject: expected a place for a key (place: not the name",
        ),
        (
            format!("inject = {{ query = \"a\", credential = \"{key}\" }}"),
            "inject.credential: expected { env = \"NAME\" },",
        ),
        (
            "inject = { query = \"a\", credential = { env = \"NOT_SET\" } }".into(),
            "inject.credential.env: expected an environment variable with text (NOT_SET is not set)",
        ),
        (
            format!("inject = \"bearer\"\naccept = \"{key}\""),
            "accept: expected \"bearer\",",
        ),
        (
            "inject = \"bearer\"\naccept = { query = \"a\", credential = { env = \"B\" } }".into(),
            "accept.credential: expected no such key, only header,",
        ),
        (
            "inject = \"bearer\"\nmethods = []".into(),
            "methods: expected a list such as [\"GET\", \"POST\"]",
        ),
        (
            "inject = \"bearer\"\nmethods = \"GET\"".into(),
            "methods: expected a list such as",
        ),
        (
            "inject = \"bearer\"\nmethods = [\"G T\"]".into(),
            "methods: expected a list such as",
        ),
        (
            "inject = \"bearer\"\npaths = [\"/a*\"]".into(),
            "paths: expected a list such as [\"/v1/**\"] (path pattern:",
        ),
        (
            "inject = \"bearer\"\nrefuse_paths = [7]".into(),
            "refuse_paths: expected a list such as",
        ),
        (
            "inject = \"bearer\"\nweb = \"https://a\"".into(),
            "web: expected no such key, only preset,",
        ),
    ] {
        refused(
            &site,
            &good,
            "inject = \"bearer\"",
            &new,
            &format!("services.up.{said}"),
        )
        .await;
    }
    let gateway = site.start(&format!("{good}{rules}")).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
}

#[tokio::test]
async fn presets_are_refused_by_key() {
    let site = Site::new().await;
    let key = site.key.as_str();
    let plaintext = "allow_plaintext = true\n";
    let good = |name: &str| {
        let service = site
            .up()
            .replace("inject = \"bearer\"", &format!("preset = \"{name}\""));
        site.file(&service.replace(
            &format!("http://{}/v1", site.upstream.addr),
            "https://127.0.0.1:1",
        ))
        .replace(plaintext, "")
    };
    let (openai, github) = (good("openai"), good("github"));
    let web = format!("{github}web = \"https://127.0.0.1:1\"\n");
    for (good, old, new, said) in [
        (
            &openai,
            "\"openai\"",
            format!("\"{key}\""),
            "preset: expected \"anthropic\", \"gemini\",",
        ),
        (
            &openai,
            "\"openai\"",
            "7".into(),
            "preset: expected \"anthropic\",",
        ),
        (
            &openai,
            "preset",
            "inject = \"bearer\"\npreset".into(),
            "inject: expected no such key, only preset,",
        ),
        (
            &openai,
            "preset",
            "region = \"auto\"\npreset".into(),
            "region: expected no such key, only preset,",
        ),
        (
            &openai,
            "preset",
            "organization = \"\"\npreset".into(),
            "organization: expected a text",
        ),
        (
            &openai,
            "preset",
            "project = \"a\\nb\"\npreset".into(),
            "project: expected a text that a header takes",
        ),
        (
            &openai,
            "https://127.0.0.1:1",
            format!("http://{key}"),
            "target: expected https://HOST[:PORT][/PATH] (or http://",
        ),
        (
            &openai,
            "target = \"https://127.0.0.1:1\"\n",
            plaintext.into(),
            "allow_plaintext: expected true only with an http:// target",
        ),
        (
            &openai,
            "target = \"https://127.0.0.1:1\"\n",
            "ca_file = \"ca.pem\"\n".into(),
            "ca_file: expected none without an https:// target",
        ),
        (
            &openai,
            "credential = { env = \"MY_API_KEY\" }\n",
            String::new(),
            "credential: expected { env = \"NAME\" },",
        ),
        (
            &github,
            "[token]",
            "[token]".into(),
            "web: expected https://HOST[:PORT][/PATH]",
        ),
        (
            &web,
            "target = \"https://127.0.0.1:1\"\n",
            String::new(),
            "target: expected https://HOST[:PORT][/PATH]",
        ),
        (
            &web,
            "target = \"https://127.0.0.1:1\"",
            "organization = \"a\"".into(),
            "organization: expected no such key",
        ),
    ] {
        refused(&site, good, old, &new, &format!("services.up.{said}")).await;
    }
    for good in [openai, web] {
        site.start(&good).await;
    }
}
