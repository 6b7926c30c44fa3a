//! Removes each line of defence in a copy of the workspace and sees whether the tests that stand for it fail.
//!
//! ```sh
//! cargo run -p rag-tower-tests --bin mutations                     # all of them, half an hour or more
//! cargo run -p rag-tower-tests --bin mutations -- --list
//! cargo run -p rag-tower-tests --bin mutations -- --only cache-key --only door
//! ```
//!
//! `--target-dir` names where the copy is built, so that a later run builds only what changed; `--copy` where the copy is. Where this
//! program was built is refused: cargo would take a library without its defence for the workspace's own.
//! `--together` makes changes of different files in one build, for a quick look: a test may then fail for the sake of another
//! change, so that it finds what survives and proves nothing.
//! First the tests are run without a change and must pass, then with each change and must fail. A change that does not compile
//! proves nothing, and neither does a test that is not there. Ends with a table, and not with 0 when a change went unnoticed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rag_tower_tests::mutations::{MUTATIONS, Mutation};
use rag_tower_tests::patched::{copy, workspace};

/// The longest that a build or the tests of one change may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How a change fared.
enum Fate {
    /// Every test that stands for the line failed.
    Killed,
    /// These parts of names had no failing test.
    Survived(Vec<&'static str>),
    /// It did not come to that.
    Broken(String),
}

/// What is asked for on the command line.
struct Wanted {
    only: Vec<String>,
    list: bool,
    together: bool,
    copy: PathBuf,
    target: PathBuf,
}

/// What a run of tests said.
struct Ran {
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
    output: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let wanted = Wanted::read(std::env::args().skip(1))?;
    let chosen: Vec<&Mutation> = MUTATIONS
        .iter()
        .filter(|mutation| wanted.only.is_empty() || wanted.only.iter().any(|name| name == mutation.name))
        .collect();
    if let Some(unknown) = wanted.only.iter().find(|name| MUTATIONS.iter().all(|known| known.name != **name))
    {
        return Err(format!("there is no mutation {unknown}: --list names them"));
    }
    if wanted.list {
        for Mutation { name, defence, .. } in chosen {
            println!("{name:26} {defence}");
        }
        return Ok(true);
    }
    if std::env::current_exe().is_ok_and(|own| own.starts_with(&wanted.target)) {
        return Err(format!("{} is where this program was built: name another", wanted.target.display()));
    }
    std::fs::create_dir_all(&wanted.copy).map_err(|error| format!("{}: {error}", wanted.copy.display()))?;
    let tree = wanted.copy.join("tree");
    let lock = File::create(wanted.copy.join("lock")).map_err(|error| error.to_string())?;
    lock.try_lock().map_err(|_| format!("another run uses {}", wanted.copy.display()))?;
    if tree.exists() {
        std::fs::remove_dir_all(&tree).map_err(|error| error.to_string())?;
    }
    copy(&workspace(), &tree).map_err(|error| format!("the workspace cannot be copied: {error}"))?;

    let mut fates = green(&wanted, &tree, &chosen);
    for (mutation, broken) in chosen.iter().zip(&fates).filter_map(|(m, fate)| Some((m, fate.as_ref()?))) {
        println!("{:26} {}", mutation.name, broken.line());
    }
    for group in groups(&chosen, &fates, wanted.together) {
        let began = Instant::now();
        let group: Vec<_> = group.into_iter().map(|at| (at, chosen[at])).collect();
        let found = mutate(&wanted, &tree, &group.iter().map(|(_, mutation)| *mutation).collect::<Vec<_>>());
        for ((at, mutation), found) in group.into_iter().zip(found) {
            println!("{:26} {} ({} s)", mutation.name, found.line(), began.elapsed().as_secs());
            fates[at] = Some(found);
        }
    }
    println!("\n{:37} line of defence", "mutation");
    let mut all = true;
    for (mutation, fate) in chosen.iter().zip(fates.into_iter().flatten()) {
        all &= matches!(fate, Fate::Killed);
        println!("{:26} {:10} {}", mutation.name, fate.word(), mutation.defence);
        for test in mutation.tests {
            println!("{:37} {test}", "");
        }
    }
    Ok(all)
}

/// Runs each mutation's tests without its change: nothing, or why the change cannot be tried.
fn green(wanted: &Wanted, tree: &Path, chosen: &[&Mutation]) -> Vec<Option<Fate>> {
    chosen
        .iter()
        .map(|mutation| match test(wanted, tree, &[*mutation]) {
            Err(error) => Some(Fate::Broken(error)),
            Ok(ran) => {
                let missing = mutation.tests.iter().find(|part| {
                    !ran.passed.iter().any(|name| name.contains(**part))
                        || ran.failed.iter().any(|name| name.contains(**part))
                });
                missing
                    .map(|part| Fate::Broken(format!("{part} does not pass as things are\n{}", ran.tail())))
            }
        })
        .collect()
}

/// The places of the mutations that are tried at once: one each, or as many as have one target and change different files.
fn groups(chosen: &[&Mutation], fates: &[Option<Fate>], together: bool) -> Vec<Vec<usize>> {
    let apart = |a: &Mutation, b: &Mutation| {
        a.target != b.target || a.patches.iter().any(|one| b.patches.iter().any(|two| one.file == two.file))
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in (0..chosen.len()).filter(|at| fates[*at].is_none()) {
        let fits = |group: &&mut Vec<usize>| group.iter().all(|other| !apart(chosen[*other], chosen[at]));
        match groups.iter_mut().find(fits).filter(|_| together) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// Makes the changes, runs their tests, and takes the changes back.
fn mutate(wanted: &Wanted, tree: &Path, group: &[&Mutation]) -> Vec<Fate> {
    let made = group.iter().flat_map(|mutation| mutation.patches).try_for_each(|patch| patch.apply(tree));
    let ran = made.and_then(|()| test(wanted, tree, group));
    group.iter().for_each(|mutation| restore(tree, mutation));
    let fate = |mutation: &&Mutation| match &ran {
        Err(error) => Fate::Broken(error.clone()),
        Ok(ran) => {
            let unnoticed = |part: &&&str| !ran.failed.iter().any(|name| name.contains(**part));
            let survived: Vec<_> = mutation.tests.iter().filter(unnoticed).copied().collect();
            if survived.is_empty() { Fate::Killed } else { Fate::Survived(survived) }
        }
    };
    group.iter().map(fate).collect()
}

fn restore(tree: &Path, mutation: &Mutation) {
    for patch in mutation.patches {
        let (from, to) = (workspace().join(patch.file), tree.join(patch.file));
        std::fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    }
}

/// Builds and runs the tests of mutations with one target. That the build fails is an error: the tests did not run.
fn test(wanted: &Wanted, tree: &Path, group: &[&Mutation]) -> Result<Ran, String> {
    let Some(mutation) = group.first() else { return Err("nothing to try".into()) };
    let build = cargo(wanted, tree, mutation, &["--no-run"])?;
    if !build.0 {
        return Err(format!("does not compile:\n{}", tail(&build.1)));
    }
    let mut arguments = vec!["--no-fail-fast", "--"];
    arguments.extend(group.iter().flat_map(|mutation| mutation.tests));
    let (_, output) = cargo(wanted, tree, mutation, &arguments)?;
    Ok(Ran::read(output))
}

/// Runs `cargo test` in the copy, in a group of its own that ends with its time.
fn cargo(wanted: &Wanted, tree: &Path, mutation: &Mutation, more: &[&str]) -> Result<(bool, String), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tree).args(["test", "--target-dir"]).arg(&wanted.target);
    command.args(mutation.target).args(more).env_remove("CARGO_TARGET_DIR");
    // The sources are to be seen by the tests at the copy, not where this program was built.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_")
            || name == "CARGO_MANIFEST_DIR"
            || name == "CARGO_MANIFEST_PATH"
        {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cargo: {error}"))?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let errors = std::thread::spawn(move || read(err.as_mut()));
    let output = std::thread::spawn(move || read(out.as_mut()));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
                let _ = child.wait();
                return Err("took too long".into());
            }
            None => std::thread::sleep(Duration::from_millis(200)),
        }
    };
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    Ok((status.success(), format!("{errors}\n{output}")))
}

fn read(from: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let _ = from.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of an output.
fn tail(output: &str) -> String {
    let lines: Vec<_> = output.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

// === impl Wanted ===

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let copy = std::env::temp_dir().join("rag-tower-mutations");
        let mut wanted =
            Self { only: Vec::new(), list: false, together: false, target: copy.join("target"), copy };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--list" => wanted.list = true,
                "--together" => wanted.together = true,
                "--only" => wanted.only.push(value()?),
                "--target-dir" => wanted.target = value()?.into(),
                "--copy" => wanted.copy = value()?.into(),
                _ => {
                    return Err(format!(
                        "{argument}: expected --list, --only NAME, --together, --target-dir DIR or --copy DIR"
                    ));
                }
            }
        }
        Ok(wanted)
    }
}

// === impl Ran ===

impl Ran {
    fn read(output: String) -> Self {
        let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
        for line in output.lines() {
            // What a test prints may stand between its name and its result.
            let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            if line.ends_with("... ok") {
                passed.insert(name.to_owned());
            } else if line.ends_with("... FAILED") {
                failed.insert(name.to_owned());
            }
        }
        // Those that failed are listed again at the end, each on a line of its own.
        let lists = output.split("\nfailures:\n").skip(1).filter_map(|list| list.split("\n\n").next());
        for name in lists.flat_map(str::lines).map(str::trim).filter(|name| !name.contains(' ')) {
            if !name.is_empty() {
                failed.insert(name.to_owned());
            }
        }
        Self { passed, failed, output }
    }

    fn tail(&self) -> String {
        tail(&self.output)
    }
}

// === impl Fate ===

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Survived(_) => "SURVIVED",
            Self::Broken(_) => "BROKEN",
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Killed => "killed".into(),
            Self::Survived(tests) => format!("SURVIVED: no failing test of {tests:?}"),
            Self::Broken(why) => format!("BROKEN: {why}"),
        }
    }
}
