//! Python environments: one for each peer, in the target directory, made when its requirements have changed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::programs::{folder, sources};

/// The Python of the environment of a peer's `requirements.txt`, which is installed when it has changed.
///
/// # Errors
/// What is missing.
pub(crate) fn environment(peer: &str) -> Result<PathBuf, String> {
    let requirements = sources().join(peer).join("requirements.txt");
    let wanted =
        std::fs::read_to_string(&requirements).map_err(|error| format!("{requirements:?}: {error}"))?;
    let home = folder().join("python").join(peer);
    let (python, mark) = (home.join("bin/python"), home.join("installed.txt"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("installing {peer} for Python…");
    let base = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(base).args(["-m", "venv"]).arg(&home))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements))?;
    std::fs::write(&mark, wanted).map_err(|error| format!("{mark:?}: {error}"))?;
    Ok(python)
}

/// The versions of some packages of an environment, as they are installed.
pub(crate) fn versions(python: &PathBuf, packages: &[&str]) -> String {
    let script =
        "import sys, importlib.metadata as m; print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))";
    let out = Command::new(python).args(["-c", script]).args(packages).output();
    out.map_or_else(|error| error.to_string(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let out = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    Err(format!("{command:?}: {}: {}", out.status, last.join(" / ")))
}
