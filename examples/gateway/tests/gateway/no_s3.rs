use crate::process::{Site, output};

#[tokio::test]
async fn a_build_without_s3_says_which_one_has_it() {
    let site = Site::new().await;
    let service = "[services.s3]\npreset = \"s3\"\nregion = \"auto\"\n";
    let output = output(site.command(&site.file(service))).await;
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let said = "services.s3.preset: expected another one: for S3, build the gateway with `--features sigv4`\n";
    assert!(stderr.ends_with(said), "{stderr}");
}
