//! `gateway FILE env`: what a sandbox is given.

use std::{collections::BTreeMap, process::Command};

use sallygate_test_support::{Slot, program};
use serde_json::Value;

use super::TOKEN;
use crate::process::{PROGRAM, Site, output};

fn services(site: &Site) -> String {
    format!(
        "{}[services.anthropic]\npreset = \"anthropic\"\ncredential = {{ env = \"NOT_SET\" }}\n",
        site.up()
    )
}

#[tokio::test]
async fn what_it_prints_is_evaluated_and_then_a_tool_works() {
    if program("curl").is_none() {
        return;
    }
    const SCRIPT: &str = r#"
eval "$("$GATEWAY" "$FILE" env --sandbox box-1 --origin "$ORIGIN")" || exit 1
curl --silent --show-error --noproxy '*' --write-out ' %{http_code}' \
  --header "Authorization: Bearer $UP_API_KEY" "$UP_BASE_URL/items""#;
    let site = Site::new().await;
    let running = site.start(&site.file(&site.up())).await;
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT])
        .env("GATEWAY", PROGRAM)
        .env("FILE", site.folder.join("gateway.toml"))
        .env("ORIGIN", &running.url)
        .env("PROXY_JWT_SECRET", &site.jwt_secret)
        .env_remove("MY_API_KEY");
    let output = output(command).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "hello 200",
        "{output:?}"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
    let received = site.upstream.last();
    assert_eq!(received.line(), "GET /v1/items HTTP/1.1");
    assert!(received.head.contains(&Slot::Bearer.show(&site.key)));
}

#[tokio::test]
async fn each_format_has_the_variables_of_all_services_with_a_token_that_works() {
    let site = Site::new().await;
    let file = site.file(&services(&site));
    let running = site.start(&site.file(&site.up())).await;
    for format in [None, Some("shell"), Some("dotenv"), Some("json")] {
        let mut options = [
            TOKEN,
            &["--session", "run-1", "--origin", "https://gate.example.com"],
        ]
        .concat();
        options.extend(format.iter().flat_map(|format| ["--format", format]));
        let printed = site.env(&file, &options).await;
        let line = |line: &str| -> Option<(String, String)> {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap_or(line)
                .split_once('=')?;
            Some((name.into(), value.trim_matches('\'').into()))
        };
        let variables: BTreeMap<String, String> = match format {
            Some("json") => {
                let setup: Value = serde_json::from_str(&printed).unwrap();
                serde_json::from_value(setup["env"].clone()).unwrap()
            }
            _ => printed.lines().map(|text| line(text).unwrap()).collect(),
        };
        assert!(
            printed.ends_with('\n') && !printed.ends_with("\n\n"),
            "{format:?}"
        );
        assert_eq!(
            printed.starts_with("export "),
            matches!(format, None | Some("shell"))
        );
        let names: Vec<_> = variables.keys().map(String::as_str).collect();
        let expected = [
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "UP_API_KEY",
            "UP_BASE_URL",
        ];
        assert_eq!(names, expected, "{format:?}");
        assert_eq!(
            variables["UP_BASE_URL"],
            "https://gate.example.com/proxy/up"
        );
        assert_eq!(
            variables["ANTHROPIC_BASE_URL"],
            "https://gate.example.com/proxy/anthropic"
        );
        let token = &variables["UP_API_KEY"];
        assert_eq!(&variables["ANTHROPIC_API_KEY"], token);
        site.oracle.watch_token(token);
        assert_eq!(
            running.get("/proxy/up/a", token).await.status,
            200,
            "{format:?}"
        );
    }
}

#[tokio::test]
async fn the_origin_is_that_of_the_command_line_or_of_the_file_or_where_the_gateway_listens() {
    let site = Site::new().await;
    let file = |top: &str| {
        let listen = "listen = \"127.0.0.1:0\"\n";
        site.file(&site.up()).replace(listen, top)
    };
    let public = "public_origin = \"https://gate.example.com\"\n";
    let here = "listen = \"127.0.0.1:8787\"\n";
    let tls = "tls = { cert = \"none.pem\", key = \"none.pem\" }\n";
    let any = "listen = \"0.0.0.0:8787\"\n";
    for (top, option, origin) in [
        (
            format!("{here}{public}"),
            Some("http://10.0.0.1:80"),
            "http://10.0.0.1:80",
        ),
        (format!("{here}{public}"), None, "https://gate.example.com"),
        (format!("{any}{public}"), None, "https://gate.example.com"),
        (here.into(), None, "http://127.0.0.1:8787"),
        (format!("{here}{tls}"), None, "https://127.0.0.1:8787"),
        (
            any.into(),
            Some("https://gate.example.com"),
            "https://gate.example.com",
        ),
    ] {
        let mut options = TOKEN.to_vec();
        options.extend(option.iter().flat_map(|option| ["--origin", option]));
        let printed = site.env(&file(&top), &options).await;
        let expected = format!("export UP_BASE_URL='{origin}/proxy/up'\n");
        assert!(printed.contains(&expected), "{origin}");
    }
    for top in [any, "listen = \"127.0.0.1:0\"\n"] {
        let output = output(site.env_command(&file(top), TOKEN)).await;
        assert!(!output.status.success(), "{top}");
        assert!(output.stdout.is_empty(), "{top}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with("env: expected --origin URL, or public_origin"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn references_in_answers_begin_with_the_public_origin() {
    let site = Site::answering(|request| {
        let host = request.values("host")[0].to_owned();
        sallygate_test_support::Reply::response(
            &format!("201 Created\nlocation: http://{host}/v1/items/7"),
            "made",
        )
    })
    .await;
    let top = "public_origin = \"https://gate.example.com\"\n";
    let gateway = site.start(&format!("{top}{}", site.file(&site.up()))).await;
    let token = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/up/items", &token).await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.header("location"),
        Some("https://gate.example.com/proxy/up/items/7")
    );
}
