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
async fn help_goes_to_standard_output() {
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
        assert!(
            stdout.starts_with("usage: sallygate-gateway FILE\n"),
            "{stdout}"
        );
        assert!(stdout.contains("RUST_LOG=info"), "{stdout}");
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_package() {
    for option in ["--version", "-V"] {
        let mut command = Command::new(PROGRAM);
        command.arg(option);
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(0), "{option}");
        assert!(output.stderr.is_empty(), "{option}");
        let version = format!("sallygate-gateway {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
    }
}

/// What is wrong may be a key in the wrong place: it is not repeated.
#[tokio::test]
async fn no_arguments_and_wrong_ones_lead_to_the_usage() {
    let site = Site::new().await;
    let file = site.write("gateway.toml", &site.file(&site.up()));
    for arguments in [
        &[][..],
        &["--serve"],
        &["-v"],
        &["FILE", "serve"],
        &["FILE", &site.key],
        &["FILE", "--sandbox", "b"],
        &["FILE", "check", "more"],
        &["FILE", "check", "--sandbox", "b"],
        &["FILE", "token", "--sandbox", "b", "--format", "json"],
    ] {
        let mut command = Command::new(PROGRAM);
        for argument in arguments {
            match *argument {
                "FILE" => command.arg(&file),
                other => command.arg(other),
            };
        }
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with("usage: sallygate-gateway FILE\n"),
            "{arguments:?}: {stderr}"
        );
        site.oracle.saw("usage", stderr);
    }
}
