//! The units, read by systemd itself.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{BINARY, assert_no_secret, assert_setting, deploy, done, read, run};

/// The most exposure that `systemd-analyze security` may find, in tenths of its points.
const EXPOSED: &str = "20";

/// The units as they are, with this build in the place of the installed program.
fn units() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let units = ["rag-tower.service", "rag-tower-migrate.service"].map(|name| {
        let text = read(&deploy("systemd").join(name));
        assert!(text.contains("/usr/local/bin/rag-tower-owner"), "{name}");
        let path = folder.path().join(name);
        std::fs::write(&path, text.replace("/usr/local/bin/rag-tower-owner", BINARY)).unwrap();
        path
    });
    (folder, units.into())
}

#[test]
fn systemd_takes_the_units_as_they_are() {
    let (_folder, units) = units();
    let output = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn systemd_finds_little_that_a_unit_could_still_do() {
    let (_folder, units) = units();
    for unit in units {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--no-pager", "--offline=true", "--threshold", EXPOSED]).arg(&unit);
        done(&mut security);
    }
}

#[test]
fn the_units_set_what_the_server_reads_and_wait_as_long_as_it_takes() {
    for name in ["rag-tower.service", "rag-tower-migrate.service"] {
        let text = read(&deploy("systemd").join(name));
        let values = |key: &str| {
            let prefix = format!("{key}=");
            text.lines().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect::<Vec<_>>()
        };
        let environment = values("Environment");
        for pair in &environment {
            let (variable, value) = pair.split_once('=').unwrap();
            assert_setting(variable);
            assert_no_secret(variable, value);
        }
        // the file is read where systemd puts it
        let (credential, _) =
            values("LoadCredential")[0].split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(environment.contains(&format!("RAG_TOWER_CONFIG=%d/{credential}")), "{environment:?}");
    }
    let text = read(&deploy("systemd/rag-tower.service"));
    let number = |before: &str| {
        let rest = text.split_once(before).unwrap().1;
        rest.lines().next().unwrap().parse::<u64>().unwrap()
    };
    let (delay, stop) = (number("RAG_TOWER_STOP_DELAY="), number("TimeoutStopSec="));
    assert!(stop >= delay + super::rolling::DOWN.as_secs(), "{stop} s are too short");
}
