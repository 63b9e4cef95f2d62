use std::{
    env,
    path::PathBuf,
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::timeout};

/// A program of `target/clients`, which CI installs. `None`, said on standard error, skips the test.
pub fn client(program: &str) -> Option<PathBuf> {
    below("target/clients", program)
}

/// A program of `target/tools`, where CI installs what is not on the path, or else of the path.
pub fn tool(program: &str) -> Option<PathBuf> {
    let installed = crate::repository().join("target/tools/bin").join(program);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_the_path = env::split_paths(&path).map(|folder| folder.join(program));
    let mut all = [installed].into_iter().chain(on_the_path);
    all.find(|path| path.exists()).or_else(|| skip(program))
}

/// A program of the machine.
pub fn program(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").output().is_ok();
    found.then(|| Command::new(name)).or_else(|| skip(name))
}

fn below(folder: &str, program: &str) -> Option<PathBuf> {
    let path = crate::repository().join(folder).join(program);
    path.exists().then_some(path).or_else(|| skip(program))
}

fn skip<T>(what: &str) -> Option<T> {
    let strict = env::var_os("SALLYGATE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!strict, "{what} is not installed");
    eprintln!("skipped: {what} is not installed");
    None
}

/// Runs a program to its end, with nothing to read.
pub async fn output(command: &mut Command, patience: Duration) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    match timeout(patience, spawn_blocking(move || child.wait_with_output())).await {
        Ok(output) => output.unwrap().unwrap(),
        Err(_) => {
            kill("KILL", id);
            // Not its environment: that may hold a token.
            panic!("it does not end: {:?}", command.get_program());
        }
    }
}

/// Sends a signal to a process.
pub fn kill(signal: &str, id: u32) -> ExitStatus {
    // The shell's own: `kill` as a program is not on every machine.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("kill -{signal} {id}"));
    command.status().unwrap()
}
