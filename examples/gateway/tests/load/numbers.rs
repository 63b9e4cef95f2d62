//! What the system knows of a process.

use std::{env, fs, process::Command};

use crate::process::Site;

/// Resident memory, in KiB.
pub(crate) fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

pub(crate) fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// How many descriptors this process may have, and how many it could allow itself.
pub(crate) fn descriptor_limits() -> (usize, usize) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut numbers = line.unwrap().split_whitespace().skip(3);
    let mut next = || numbers.next().unwrap().parse().unwrap_or(usize::MAX);
    (next(), next())
}

/// Runs this test once more, in a process that may have all the descriptors there are.
pub(crate) fn again_with_more_descriptors(test: &str) {
    let mut command = raised(env::current_exe().unwrap().to_str().unwrap());
    let status = command.args(["--exact", test, "--nocapture"]).status();
    assert!(status.unwrap().success(), "see above");
}

/// The command for a gateway that may have all the descriptors there are, and says nothing.
pub(crate) fn gateway(site: &Site, file: &str) -> Command {
    let plain = site.command(file);
    let mut command = raised(plain.get_program().to_str().unwrap());
    command.args(plain.get_args());
    let variables = plain.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.env("RUST_LOG", "off");
    command
}

fn raised(program: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#;
    shell.args(["-c", script, program]);
    shell
}
