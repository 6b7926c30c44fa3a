//! `rag-tower-owner/deploy/`: what its files say, a rolling restart, a restored backup, and the image without an engine for it.

mod backup;
mod files;
mod image;
mod kubernetes;
mod ready;
mod rolling;
mod sockets;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rag_tower_owner::config::SETTINGS;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

/// The top of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A file of the deployment, or the folder itself.
fn deploy(path: &str) -> PathBuf {
    workspace().join("rag-tower-owner/deploy").join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of YAML text.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("not YAML: {error}\n{text}"))
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    command.output().unwrap_or_else(|error| panic!("NOT TESTED: {} is needed: {error}", program.display()))
}

/// Runs a program that has to succeed; what it wrote to stdout.
fn done(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Fails for a variable that the server would refuse, or would not read.
fn assert_setting(name: &str) {
    let known = name == "RAG_TOWER_CONFIG" || SETTINGS.iter().any(|key| key.name == name);
    assert!(known, "{name} is no setting of the server");
}

/// Fails for a value that stands where everybody can read it.
fn assert_no_secret(name: &str, value: &str) {
    let secret = ["PASSWORD", "SECRET", "KEY", "TOKEN"].iter().any(|part| name.contains(part));
    assert!(!secret || name.ends_with("_FILE") || name.ends_with("__FILE"), "{name} holds a secret");
    assert!(!value.contains('@'), "{name} holds a login");
}
