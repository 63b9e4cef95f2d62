//! Unmodified clients, told nothing but what a sandbox is told. The server verifies every signature.

use std::{fs, path::Path};

use sallygate_test_support::{
    client,
    matrix::{Matrix, OF_THE_SYSTEM, S3 as GROUP},
    program,
};
use serde_json::{Value, json};

use super::home::{Home, OWN};

async fn boto3(tls: bool) -> Option<String> {
    let python = client("venv/bin/python")?;
    let home = Home::new(tls).await?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/s3/with_boto3.py");
    let facts = home.said(home.command(&python).arg(script)).await;
    let mut facts: Value = serde_json::from_str(&facts).unwrap();
    let version = facts["version"].take();
    assert_eq!(
        facts,
        json!({
            "version": null,
            "get": "0123456789",
            "metadata": { "owner": "acme" },
            "range": "234",
            "copy": "0123456789",
            "list": ["tenants/acme/a b/é", "tenants/acme/copy"],
            "multipart": true,
            "presigned": "by URL",
            "missing": [404, "NoSuchKey"],
            "denied": [403, "AccessDenied"],
            "many": [403, "AccessDenied"],
            "refused": [401, "401"],
        })
    );
    assert_eq!(home.stored("big").map(|big| big.len()), Some(64 << 20));
    let trailing = home.was_sent("PUT ", "x-amz-trailer");
    assert_eq!(
        trailing, tls,
        "trailing checksums are sent over TLS, and only there"
    );
    Some(version.as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_works() {
    let Some(version) = boto3(false).await else {
        return;
    };
    let row = Matrix::of(&GROUP, "boto3", &version);
    if boto3(true).await.is_some() {
        row.report("over TLS");
    }
    for feature in [
        "put",
        "get",
        "list",
        "multipart of 64 MiB",
        "copy",
        "range",
        "delete",
    ] {
        row.report(feature);
    }
    row.report("presigned URL");
    row.report("refused token");
}

async fn aws(tls: bool) -> Option<String> {
    let program = client("venv/bin/aws")?;
    let home = Home::new(tls).await?;
    let aws = async |arguments: &[&str]| home.said(home.command(&program).args(arguments)).await;
    let at = |name: &str| format!("s3://{OWN}/{name}");
    fs::write(home.folder.join("a"), "0123456789").unwrap();
    let big = home.big();
    aws(&["s3", "cp", "a", &at("a b")]).await;
    assert_eq!(home.stored("a b").unwrap(), b"0123456789");
    assert_eq!(aws(&["s3", "cp", &at("a b"), "-"]).await, "0123456789");
    let key = "tenants/acme/a b";
    let range = [
        "--bucket",
        "reports",
        "--key",
        key,
        "--range",
        "bytes=2-4",
        "part",
    ];
    aws(&[&["s3api", "get-object"], &range[..]].concat()).await;
    assert_eq!(fs::read(home.folder.join("part")).unwrap(), b"234");
    aws(&["s3", "cp", &at("a b"), &at("copy")]).await;
    assert_eq!(home.stored("copy").unwrap(), b"0123456789");
    aws(&["s3", "cp", "--no-progress", "big", &at("big")]).await;
    assert!(home.stored("big").unwrap() == big);
    aws(&["s3", "cp", "--no-progress", &at("big"), "again"]).await;
    assert!(fs::read(home.folder.join("again")).unwrap() == big);
    let list = aws(&["s3", "ls", &at("")]).await;
    let names: Vec<_> = list.lines().map(|line| line[31..].to_owned()).collect();
    assert_eq!(names, ["a b", "big", "copy"]);
    let url = aws(&["s3", "presign", &at("copy")]).await;
    assert_eq!(home.fetch(&url).await?, "0123456789");
    aws(&["s3", "rm", &at("copy")]).await;
    assert!(home.stored("copy").is_none());

    let mut denied = home.command(&program);
    let denied = home
        .run(denied.args(["s3", "cp", "s3://reports/secret", "-"]))
        .await;
    assert!(
        !denied.status.success() && denied.stdout.is_empty(),
        "{denied:?}"
    );
    let mut refused = home.command(&program);
    refused
        .env("AWS_ACCESS_KEY_ID", &home.bad_token)
        .args(["s3", "ls", &at("")]);
    let refused = home.run(&mut refused).await;
    assert!(
        !refused.status.success() && refused.stdout.is_empty(),
        "{refused:?}"
    );
    let version = aws(&["--version"]).await;
    let version = version.split([' ', '/']).nth(1).unwrap();
    Some(version.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aws_cli_works() {
    let Some(version) = aws(false).await else {
        return;
    };
    let row = Matrix::of(&GROUP, "aws CLI", &version);
    if aws(true).await.is_some() {
        row.report("over TLS");
    }
    for feature in [
        "put",
        "get",
        "list",
        "multipart of 64 MiB",
        "copy",
        "range",
        "delete",
    ] {
        row.report(feature);
    }
    row.report("presigned URL");
    row.report("refused token");
}

async fn rclone(tls: bool) -> Option<()> {
    program("rclone")?;
    let home = Home::new(tls).await?;
    let command = || {
        let mut command = home.command("rclone".as_ref());
        command.args(["--retries", "1", "--low-level-retries", "1"]);
        // The library in it cannot do with both.
        command.env_remove("AWS_CA_BUNDLE");
        command
    };
    let rclone = async |arguments: &[&str]| home.said(command().args(arguments)).await;
    let at = |name: &str| format!("s3:{OWN}/{name}");
    fs::create_dir(home.folder.join("files")).unwrap();
    fs::write(home.folder.join("files/a b+é"), "0123456789").unwrap();
    let big = home.big();
    let parts = ["--s3-upload-cutoff", "16M", "--s3-chunk-size", "16M"];
    rclone(&["copy", "files", &at("files")]).await;
    assert_eq!(home.stored("files/a b+é").unwrap(), b"0123456789");
    rclone(&[&["copy", "big", &at("")], &parts[..]].concat()).await;
    assert!(home.stored("big").unwrap() == big);
    rclone(&["copyto", &at("big"), "again"]).await;
    assert!(fs::read(home.folder.join("again")).unwrap() == big);
    assert_eq!(rclone(&["cat", &at("files/a b+é")]).await, "0123456789");
    let part = ["cat", "--offset", "2", "--count", "3", &at("files/a b+é")];
    assert_eq!(rclone(&part).await, "234");
    rclone(&["copyto", &at("files/a b+é"), &at("copy")]).await;
    assert_eq!(home.stored("copy").unwrap(), b"0123456789");
    assert!(home.was_sent("PUT /reports/tenants/acme/copy", "x-amz-copy-source"));
    assert_eq!(rclone(&["lsf", &at("")]).await, "big\ncopy\nfiles/\n");
    assert_eq!(rclone(&["lsf", &at("files")]).await, "a b+é\n");
    let url = rclone(&["link", "--expire", "1h", &at("copy")]).await;
    if let Some(got) = home.fetch(&url).await {
        assert_eq!(got, "0123456789");
    }
    rclone(&["deletefile", &at("copy")]).await;
    assert!(home.stored("copy").is_none());

    let denied = home.run(command().args(["cat", "s3:reports/secret"])).await;
    assert!(
        !denied.status.success() && denied.stdout.is_empty(),
        "{denied:?}"
    );
    let mut refused = command();
    refused.env("RCLONE_CONFIG_S3_ACCESS_KEY_ID", &home.bad_token);
    let refused = home.run(refused.args(["cat", &at("big")])).await;
    assert!(
        !refused.status.success() && refused.stdout.is_empty(),
        "{refused:?}"
    );
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_works() {
    if rclone(false).await.is_none() {
        return;
    }
    let row = Matrix::of(&GROUP, "rclone", OF_THE_SYSTEM);
    if rclone(true).await.is_some() {
        row.report("over TLS");
    }
    for feature in [
        "put",
        "get",
        "list",
        "multipart of 64 MiB",
        "copy",
        "range",
        "delete",
    ] {
        row.report(feature);
    }
    row.report("presigned URL");
    row.report("refused token");
}
