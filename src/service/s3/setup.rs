//! What AWS's own clients, rclone and s3fs need in a sandbox.

use std::fmt::Write;

use crate::service::{SandboxSetup, SetupScope};

/// What stands where a secret is asked for: nothing is signed with it that anyone checks.
const UNUSED: &str = "unused";

/// What AWS's own clients, rclone and s3fs need.
pub(super) fn setup(
    scope: &SetupScope<'_>,
    region: &str,
    path_style: bool,
    buckets: &[String],
) -> SandboxSetup {
    let (service, base, token) = (scope.service(), scope.base(), scope.token());
    // Clients put the bucket before the host unless they are told not to, and only a file tells them.
    let style = if path_style {
        "s3 =\n  addressing_style = path\n"
    } else {
        ""
    };
    let profile = format!(
        "[default]\nregion = {region}\n{style}\n\
         [profile {service}]\nregion = {region}\nendpoint_url = {base}\n\
         aws_access_key_id = {token}\naws_secret_access_key = {UNUSED}\n{style}"
    );
    let mut passwords = String::new();
    for bucket in buckets {
        // Writing to a String cannot fail.
        let _ = writeln!(passwords, "{bucket}:{token}:{UNUSED}");
    }
    if buckets.is_empty() {
        let _ = writeln!(passwords, "{token}:{UNUSED}");
    }
    let rclone = |name| format!("RCLONE_CONFIG_{}_{name}", scope.variable_prefix());
    SandboxSetup::new()
        .env("AWS_ENDPOINT_URL_S3", base)
        .env("AWS_ACCESS_KEY_ID", token)
        .env("AWS_SECRET_ACCESS_KEY", UNUSED)
        .env("AWS_REGION", region)
        .env("AWS_DEFAULT_REGION", region)
        .env(rclone("TYPE"), "s3")
        .env(rclone("PROVIDER"), "Other")
        .env(rclone("ENDPOINT"), base)
        .env(rclone("ACCESS_KEY_ID"), token)
        .env(rclone("SECRET_ACCESS_KEY"), UNUSED)
        .env(rclone("REGION"), region)
        .env(rclone("FORCE_PATH_STYLE"), path_style.to_string())
        .env(rclone("NO_CHECK_BUCKET"), "true")
        .file(".aws/config", profile)
        .file(".passwd-s3fs", passwords)
}
