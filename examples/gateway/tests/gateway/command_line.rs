use std::{fs, process::Command};

use crate::process::{PROGRAM, Site, output};

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_refused() {
    let site = Site::new().await;
    for (options, said) in [
        (
            &["--sandbox", "b", "--expires-in", "25h"][..],
            "--expires-in: expected",
        ),
        (
            &["--sandbox", "b", "--expires-in", "soon"],
            "--expires-in: expected",
        ),
        (
            &["--sandbox", "b", "--expires-in", "0s"],
            "--expires-in: expected",
        ),
        (&["--session", "s"], "token: expected --sandbox ID\nusage:"),
        (&["--sandbox"], "--sandbox: expected a value\nusage:"),
        (&["--sandbocks", "b"], "usage:"),
        (&["--sandbox", ""], "claims:"),
        (&["--sandbox", "b", "--id", ""], "claims:"),
        (
            &["--sandbox", "b", "--id"],
            "--id: expected a value\nusage:",
        ),
    ] {
        let output = output(site.token_command(&site.file(&site.up()), options)).await;
        assert!(!output.status.success(), "{options:?}");
        assert!(output.stdout.is_empty(), "{options:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(said), "{options:?}: {stderr}");
    }
    site.token(&["--sandbox", "b", "--expires-in", "24h"]).await;
}

#[tokio::test]
async fn what_env_is_told_and_makes_no_sense_is_refused() {
    let site = Site::new().await;
    let file = site.file(&site.up());
    let origin = ["--origin", "https://gate.example.com"];
    for (options, said) in [
        (
            &["--format", "yaml"][..],
            "--format: expected shell, dotenv or json",
        ),
        (&["--format"], "--format: expected a value\nusage:"),
        (
            &["--origin", "gate.example.com/a"],
            "--origin: expected https://HOST[:PORT] (public origin:",
        ),
        (&["--expires-in", "25h"], "--expires-in: expected"),
        (&["--formats", "json"], "usage:"),
    ] {
        let options = [&["--sandbox", "b"], &origin[..], options].concat();
        let output = output(site.env_command(&file, &options)).await;
        assert!(!output.status.success(), "{options:?}");
        assert!(output.stdout.is_empty(), "{options:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(said), "{options:?}: {stderr}");
    }
    for (command, said) in [
        (
            site.env_command(&file, &origin),
            "env: expected --sandbox ID\nusage:",
        ),
        (site.token_command(&file, &["--format", "json"]), "usage:"),
    ] {
        let output = output(command).await;
        assert!(!output.status.success(), "{said}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(said), "{stderr}");
    }
    site.env(
        &file,
        &[&["--sandbox", "b", "--format", "json"], &origin[..]].concat(),
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let site = Site::new().await;
    let command = site.command(&site.file(&site.up()));
    let file = site.folder.join("gateway.toml");
    fs::rename(&file, site.folder.join("other.toml")).unwrap();
    let output = output(command).await;
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, format!("{}: no such file\n", file.display()));
}

#[tokio::test]
async fn help_is_an_answer_and_no_mistake() {
    let site = Site::new().await;
    let none = || Command::new(PROGRAM);
    for (mut command, options) in [
        (none(), &["--help"][..]),
        (none(), &["-h"]),
        (site.command(""), &["token", "--help"]),
    ] {
        command.args(options);
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(0), "{options:?}");
        assert!(output.stderr.is_empty(), "{options:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.starts_with("usage: gateway FILE\n"), "{stdout}");
        assert!(stdout.contains("RUST_LOG=info"), "{stdout}");
    }
    let output = output(none()).await;
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(output.stderr.starts_with(b"usage: gateway FILE\n"));
}
