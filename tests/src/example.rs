//! An example as its users run it: a program of its own on a port of its own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use crate::http::Client;

/// A running example; killed when dropped.
pub struct Example {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it said before that, line by line.
    pub said: Vec<String>,
    child: Child,
    /// Stays open, so that it may go on saying things.
    output: BufReader<ChildStdout>,
}

// === impl Example ===

impl Example {
    /// Starts it and waits until it says `listening on http://…`.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the example starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut started = Self { addr: nowhere, said: Vec::new(), child, output };
        loop {
            let mut line = String::new();
            let read = started.output.read_line(&mut line).expect("its output is text");
            if let Some(addr) = line.strip_prefix("listening on http://") {
                started.addr = addr.trim().parse().expect("an address");
                return started;
            }
            assert!(read > 0, "it ended ({:?}) before it listened: {:?}", started.child.wait(), started.said);
            started.said.push(line.trim_end().to_owned());
        }
    }

    /// A client of it, without a credential.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// Ends it as Ctrl-C does and waits for it.
    pub fn interrupt(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        self.child.wait().expect("its end")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The crates that an example compiles, as `name version`, itself among them.
#[must_use]
pub fn crates(example: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--no-dedupe"]);
    let tree = tree.args(["--package", example]).output().expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("UTF-8");
    text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// Runs an example to its end with these environment variables, and gives what it printed.
#[must_use]
pub fn output(binary: &str, env: &[(&str, &str)]) -> String {
    let mut command = Command::new(binary);
    let output = command.envs(env.iter().copied()).output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The output that a README shows: its first block of plain text.
#[must_use]
pub fn shown(readme: &str) -> String {
    let block = readme.split("```text\n").nth(1).expect("a block of text");
    block.split("```").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_index_names_every_example_and_each_says_what_it_is() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let index = fs::read_to_string(examples.join("README.md")).unwrap();
        let mut known = 0;
        for entry in fs::read_dir(&examples).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(index.contains(&format!("[`{name}`]({name})")), "{name} is not in examples/README.md");
            let readme = fs::read_to_string(path.join("README.md")).unwrap_or_default();
            assert!(
                readme.starts_with(&format!("# {name}: ")),
                "{name} has no README.md that says what it is"
            );
            known += 1;
        }
        assert_eq!(index.matches("[`").count(), known, "the index names an example that there is not");
    }
}
