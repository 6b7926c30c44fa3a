//! Where values come from: an environment and a TOML file in, one value a key with its origin out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::FILE_NAME;
use super::keys::{CONFIG_FILE, OTHER_NAMES, SETTINGS, find};
use super::suggest::nearest;

/// Every value that is set, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<&'static str, Value>);

/// One value as it was written.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Who set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File,
    Environment,
}

/// What a file held.
#[derive(Debug, Default)]
pub(super) struct FileContents {
    pub(super) path: Option<PathBuf>,
    settings: Vec<(&'static str, String)>,
    pub(super) providers: Vec<toml::Value>,
}

// === impl Values ===

impl Values {
    /// Lays defaults, file and environment over each other, and reports unknown `RAG_TOWER_*` names.
    pub(super) fn gather(
        file: &FileContents,
        environment: &BTreeMap<String, String>,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut values = Self::default();
        for key in &SETTINGS {
            if let Some(default) = key.default {
                values.set(key.name, default, Origin::Default);
            }
        }
        for (name, text) in &file.settings {
            values.set(name, text, Origin::File);
        }
        for (name, text) in environment {
            // variables are case-sensitive, the file's keys are not
            if let Some(key) = SETTINGS.iter().find(|key| key.name == name) {
                values.set(key.name, text, Origin::Environment);
            } else if name.starts_with("RAG_TOWER_") && !OTHER_NAMES.contains(&name.as_str()) {
                problems.push(unknown(&format!("the environment variable {name}"), name));
            }
        }
        values
    }

    /// What is set; none when it is not set or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.text.as_str())
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn set(&mut self, name: &'static str, text: &str, origin: Origin) {
        let text = text.trim();
        if !text.is_empty() {
            self.0.insert(name, Value { text: text.to_owned(), origin });
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value(hidden, {:?})", self.origin)
    }
}

// === impl Origin ===

impl Origin {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
        }
    }
}

// === impl FileContents ===

impl FileContents {
    /// Reads the named file, else the one that the environment names, else `rag-tower.toml` here if there is one.
    pub(super) fn read(
        named: Option<&Path>,
        environment: &BTreeMap<String, String>,
        problems: &mut Vec<String>,
    ) -> Self {
        let from_environment =
            environment.get(CONFIG_FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let named = named.map(Path::to_path_buf).or(from_environment);
        let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Self::default();
            }
            Err(error) => {
                problems.push(format!("{}: cannot be read: {error}", path.display()));
                return Self { path: Some(path), ..Self::default() };
            }
        };
        let mut contents = Self { path: Some(path.clone()), ..Self::default() };
        match text.parse::<toml::Table>() {
            Ok(table) => contents.take(&path, table, problems),
            Err(error) => {
                // `message` leaves out the line itself, which may hold a secret
                let line =
                    error.span().map_or(0, |span| text.get(..span.start).unwrap_or("").matches('\n').count());
                problems.push(format!(
                    "{}, line {}: not TOML: {}",
                    path.display(),
                    line + 1,
                    error.message()
                ));
            }
        }
        contents
    }

    fn take(&mut self, path: &Path, table: toml::Table, problems: &mut Vec<String>) {
        for (name, value) in table {
            if name == "provider" {
                match value {
                    toml::Value::Array(tables) => self.providers = tables,
                    _ => problems.push(format!(
                        "{}: `provider` is a list: write [[provider]] with two brackets",
                        path.display()
                    )),
                }
                continue;
            }
            let Some(key) = find(&name) else {
                problems.push(unknown(&format!("{}: the key `{name}`", path.display()), &name));
                continue;
            };
            if self.settings.iter().any(|(known, _)| *known == key.name) {
                problems
                    .push(format!("{}: `{name}` is there twice, in upper and lower case", path.display()));
            }
            match value {
                toml::Value::String(text) => self.settings.push((key.name, text)),
                toml::Value::Integer(number) => self.settings.push((key.name, number.to_string())),
                other => problems.push(format!(
                    "{}: `{name}` is a {}: expected a string or a whole number",
                    path.display(),
                    other.type_str()
                )),
            }
        }
    }
}

fn unknown(what: &str, name: &str) -> String {
    let names = SETTINGS.iter().map(|key| key.name).chain(OTHER_NAMES).chain(["provider"]);
    match nearest(name, names) {
        Some(meant) => format!("{what} is not known: did you mean {meant}?"),
        None => format!("{what} is not known: `rag-tower-owner --help` lists the names"),
    }
}
