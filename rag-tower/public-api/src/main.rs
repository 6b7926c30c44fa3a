//! What `rag-tower` makes public, held against `rag-tower/public-api.txt`; `--update` writes the list anew.
//!
//! The list is made from rustdoc's JSON, which stable Rust writes when it is told to be unstable. That is told to rustdoc alone: in
//! the environment it would have half of the dependencies compiled again.

use std::collections::BTreeSet;
use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The Rust whose JSON can be read.
const RUST: &str = "1.95.";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let list = workspace.join("rag-tower/public-api.txt");
    let rust = said(Command::new("rustc").arg("--version"))?;
    if !rust.starts_with(&format!("rustc {RUST}")) {
        return Err(format!(
            "this is {rust}, and the list is made with Rust {RUST}x: give public-api another version"
        )
        .into());
    }
    let now = public(&documented(&workspace)?)?;
    if std::env::args().any(|argument| argument == "--update") {
        std::fs::write(&list, now)?;
        return Ok(ExitCode::SUCCESS);
    }
    let known = std::fs::read_to_string(&list).unwrap_or_default();
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (known.lines().collect(), now.lines().collect());
    before.difference(&after).for_each(|line| println!("- {line}"));
    after.difference(&before).for_each(|line| println!("+ {line}"));
    if known == now {
        println!("{} lines are public, as the list says", after.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "rag-tower/public-api.txt says something else. If that is meant, write it into the changelog and run"
    );
    println!("  cargo run --manifest-path rag-tower/public-api/Cargo.toml -- --update");
    Ok(ExitCode::FAILURE)
}

/// Runs rustdoc over the workspace, with the features that everything else there is built with.
fn documented(workspace: &Path) -> Result<PathBuf> {
    let metadata = said(
        Command::new("cargo").args(["metadata", "--no-deps", "--format-version=1"]).current_dir(workspace),
    )?;
    let (_, rest) =
        metadata.split_once("\"target_directory\":\"").ok_or("cargo names no target directory")?;
    let target = PathBuf::from(rest.split('"').next().unwrap_or_default());
    let folder = target.join("public-api");
    std::fs::create_dir_all(&folder)?;
    let rustdoc = folder.join("rustdoc");
    std::fs::write(&rustdoc, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    std::fs::set_permissions(&rustdoc, PermissionsExt::from_mode(0o755))?;
    said(
        Command::new("cargo")
            .args(["doc", "--locked", "--workspace", "--no-deps", "--lib", "--quiet"])
            .current_dir(workspace)
            .env("RUSTDOC", &rustdoc)
            .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json --cap-lints allow"),
    )?;
    Ok(target.join("doc/rag_tower.json"))
}

/// One line for each public item. Derived impls and blanket ones say nothing new, and of those that the compiler adds only those
/// that are missing.
fn public(json: &Path) -> Result<String> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    let automatic = |line: &str| {
        ["Send", "Sync", "Unpin", "Freeze", "RefUnwindSafe", "UnwindSafe"]
            .iter()
            .any(|name| line.contains(&format!("::{name} for ")))
            && line.starts_with("impl")
            && !line.contains(" !core::marker::Send for ")
            && !line.contains(" !core::marker::Sync for ")
    };
    let lines: BTreeSet<String> =
        api.items().map(|item| item.to_string()).filter(|line| !automatic(line)).collect();
    Ok(lines.into_iter().fold(String::new(), |text, line| text + &line + "\n"))
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
