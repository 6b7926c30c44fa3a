//! `ingest`: files in, a tenant's documents out.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use rag_tower::ingest::{Ingest, Ingested, MAX_FILE_BYTES};
use rag_tower::{Error, TenantScope};

use crate::ask::unknown;
use crate::failure::Failure;
use crate::identity::tenant_named;
use crate::operator::{Client, Taken};
use crate::platform::{Platform, scope_of};
use crate::progress::Step;

/// The endings of files that are taken from a directory.
const ENDINGS: [&str; 7] = ["md", "markdown", "txt", "html", "htm", "jsonl", "ndjson"];
/// Files, and bytes, that are taken in together.
const TOGETHER: (usize, usize) = (64, 4 * 1024 * 1024);
/// Directories inside each other deeper than this are not looked into: a link to itself has no end.
const DEPTH: usize = 16;

/// Where files go.
pub(crate) enum Target<'a> {
    /// Into the stores, which are this process's.
    Here(&'a Platform),
    /// To the server that has them.
    Server(&'a Client),
}

/// Takes `source` (a file, a directory, or `-` for stdin) in as documents of the tenant, and says what it took.
pub(crate) async fn ingest(target: Target<'_>, source: &Path, tenant: &str) -> Result<String, Failure> {
    let files = if source == Path::new("-") { vec![PathBuf::from("-")] } else { files(source)? };
    if files.is_empty() {
        return Err(Failure::usage(format!("{} holds nothing to take in", source.display()))
            .mend("Markdown (.md), text (.txt), HTML (.html) and JSON lines (.jsonl) are taken."));
    }
    let target = target.of(tenant).await?;
    let step = Step::bar("Taking documents in", files.len() as u64);
    let (mut documents, mut chunks, mut refused) = (0, 0, Vec::new());
    let mut read = Vec::new();
    for (left, file) in (0..files.len()).rev().zip(&files) {
        match File::read(source, file).await {
            Ok(file) => read.push(file),
            Err(failure) => {
                refused.push(failure.to_string());
                step.advance();
            }
        }
        if left > 0 && !target.is_enough(&read) {
            continue;
        }
        for taken in target.take(std::mem::take(&mut read)).await {
            match taken {
                Ok(taken) => {
                    documents += taken.documents;
                    chunks += taken.chunks;
                }
                Err(failure) => refused.push(failure.to_string()),
            }
            step.advance();
        }
    }
    step.done();
    if !refused.is_empty() {
        let mut said = format!("{} of {} files were not taken in", refused.len(), files.len());
        for refusal in refused {
            let _ = write!(said, "\n  - {refusal}");
        }
        return Err(Failure::new(said).mend(format!("{documents} documents in {chunks} chunks were.")));
    }
    Ok(format!("{documents} documents in {chunks} chunks are searchable.\n"))
}

/// A file that has been read.
struct File {
    /// Its path, as it was found.
    shown: String,
    /// The document's name.
    name: String,
    bytes: Vec<u8>,
}

/// A target and the tenant there.
enum Taker<'a> {
    Here(&'a Platform, TenantScope),
    Server(&'a Client, &'a str),
}

// === impl Target ===

impl<'a> Target<'a> {
    async fn of(self, tenant: &'a str) -> Result<Taker<'a>, Failure> {
        match self {
            Self::Here(platform) => {
                let id = tenant_named(&platform.database, tenant).await;
                Ok(Taker::Here(platform, scope_of(id.map_err(|error| unknown(error.to_string()))?)))
            }
            Self::Server(server) => Ok(Taker::Server(server, tenant)),
        }
    }
}

// === impl File ===

impl File {
    async fn read(source: &Path, file: &Path) -> Result<Self, Failure> {
        let shown = file.display().to_string();
        if file == Path::new("-") {
            return Ok(Self { shown, name: "stdin.md".to_owned(), bytes: read_stdin()? });
        }
        // the path inside the directory keeps files of the same name apart
        let name = match file.strip_prefix(source) {
            Ok(inside) if !inside.as_os_str().is_empty() => inside.to_string_lossy().into_owned(),
            _ => file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
        };
        let bytes = tokio::fs::read(file).await.map_err(|error| Failure::because(&shown, &error))?;
        Ok(Self { shown, name, bytes })
    }
}

// === impl Taker ===

impl Taker<'_> {
    /// True when these are to be taken in before more are read.
    fn is_enough(&self, files: &[File]) -> bool {
        match self {
            Self::Here(..) => {
                files.len() >= TOGETHER.0
                    || files.iter().map(|file| file.bytes.len()).sum::<usize>() >= TOGETHER.1
            }
            Self::Server(..) => !files.is_empty(),
        }
    }

    async fn take(&self, files: Vec<File>) -> Vec<Result<Taken, Failure>> {
        match self {
            Self::Here(platform, scope) => {
                let shown: Vec<String> = files.iter().map(|file| file.shown.clone()).collect();
                let requests =
                    files.into_iter().map(|file| Ingest::new(scope.clone(), file.name, file.bytes));
                let taken = platform.intake.take_all(requests.collect()).await;
                let said = |(taken, shown): (Result<Ingested, Error>, &String)| match taken {
                    Ok(taken) => Ok(Taken { documents: taken.documents.len(), chunks: taken.chunks }),
                    Err(error) => Err(Failure::because(shown, &error)),
                };
                taken.into_iter().zip(&shown).map(said).collect()
            }
            Self::Server(server, tenant) => {
                let mut taken = Vec::with_capacity(files.len());
                for File { shown, name, bytes } in files {
                    let answer = server.take_in(tenant, &name, bytes).await;
                    taken.push(answer.map_err(|failure| failure.about(&shown)));
                }
                taken
            }
        }
    }
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::because("stdin cannot be read", &error))?;
    Ok(bytes)
}

/// The file itself, or the files in the directory, in order of their names.
fn files(source: &Path) -> Result<Vec<PathBuf>, Failure> {
    let refused = |path: &Path, error: &std::io::Error| {
        Failure::because(format!("{} cannot be read", path.display()), error)
    };
    let kind = std::fs::metadata(source).map_err(|error| refused(source, &error))?;
    if !kind.is_dir() {
        return Ok(vec![source.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut open = vec![(source.to_path_buf(), 0)];
    while let Some((directory, depth)) = open.pop() {
        for entry in std::fs::read_dir(&directory).map_err(|error| refused(&directory, &error))? {
            let path = entry.map_err(|error| refused(&directory, &error))?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
            if path.is_dir() {
                if depth < DEPTH {
                    open.push((path, depth + 1));
                }
            } else if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_documents_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["z.md", "a.TXT", "b/c.html", "photo.png"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names: Vec<_> = files(dir.path())
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.TXT", "b/c.html", "z.md"]);
        assert!(files(&dir.path().join("nothing")).is_err());
    }
}
