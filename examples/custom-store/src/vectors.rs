//! Vectors in a file for each tenant.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rag_tower::filter::{Condition, Filter};
use rag_tower::passage::{ChunkId, DocumentId};
use rag_tower::port::{Hit, Point, QueryVector, SparseVector, VectorQuery, VectorStore};
use rag_tower::{Error, ErrorKind, Origin, Stage, TenantScope};
use serde::{Deserialize, Serialize};

/// A [`VectorStore`] in a directory, a file a tenant: a log of what was written, read anew for each search.
///
/// It is exact, durable, slow, and never shrinks: right for some thousand points of a tenant. The name of the
/// file is made of the scope, so that a call can open the tenant's own and no other. Clones share the directory.
#[derive(Clone, Debug)]
pub struct FileVectors {
    directory: Arc<Path>,
    dimensions: usize,
    /// Nobody reads a line that is half written. Held on blocking threads only.
    files: Arc<Mutex<()>>,
}

/// One line of a file.
#[derive(Serialize, Deserialize)]
enum Line {
    Put(Vec<Point>),
    Gone(Vec<ChunkId>),
}

type Points = HashMap<ChunkId, Point>;

// === impl FileVectors ===

impl FileVectors {
    /// Files in `directory`, which is made if need be, for dense vectors of `dimensions` numbers.
    ///
    /// # Errors
    /// When the directory cannot be made. It blocks for that, which is for the start of a program.
    pub fn open(directory: impl Into<PathBuf>, dimensions: usize) -> io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        Ok(Self { directory: directory.into(), dimensions, files: Arc::default() })
    }

    /// Runs `work` with the tenant's file on a thread that may block.
    async fn with_file<T: Send + 'static>(
        &self,
        scope: &TenantScope,
        stage: Stage,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.directory.join(format!("{}.jsonl", scope.tenant()));
        let files = Arc::clone(&self.files);
        let work = move || {
            let _alone = files.lock().unwrap_or_else(PoisonError::into_inner);
            work(&path)
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| Error::store(stage, error))?;
        done.map_err(|error| Error::store(stage, error))
    }

    fn check(&self, vector: &[f32], stage: Stage) -> Result<(), Error> {
        if vector.len() == self.dimensions {
            return Ok(());
        }
        let message = format!("a vector has {} numbers; this store takes {}", vector.len(), self.dimensions);
        Err(Error::invalid(stage, message))
    }
}

impl VectorStore for FileVectors {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        for point in &points {
            self.check(point.dense.as_slice(), Stage::Ingest)?;
            if !sees(scope, point) {
                return Err(Error::new(ErrorKind::NotFound, Stage::Ingest).with_message("no such branch"));
            }
        }
        self.with_file(scope, Stage::Ingest, move |path| append(path, &Line::Put(points))).await
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        let by = scope.clone();
        let remove = move |path: &Path| {
            let points = read(path)?;
            let gone = points.values().filter(|point| point.document == document && sees(&by, point));
            append(path, &Line::Gone(gone.map(|point| point.chunk).collect()))
        };
        self.with_file(scope, Stage::Ingest, remove).await
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        if let QueryVector::Dense(vector) = &query.vector {
            self.check(vector.as_slice(), Stage::Retrieve)?;
        }
        let (by, query) = (scope.clone(), query.clone());
        let search = move |path: &Path| {
            let points = read(path)?;
            let visible = points.values().filter(|point| sees(&by, point) && fits(&query.filter, point));
            let mut hits: Vec<Hit> = visible.filter_map(|point| hit(&by, &query.vector, point)).collect();
            hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
            hits.truncate(query.limit);
            Ok(hits)
        };
        self.with_file(scope, Stage::Retrieve, search).await
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        let by = scope.clone();
        let count = move |path: &Path| Ok(read(path)?.values().filter(|point| sees(&by, point)).count());
        Ok(self.with_file(scope, Stage::Retrieve, count).await? as u64)
    }
}

// === the file ===

/// Adds a line, in one write, and forces it to the disk.
fn append(path: &Path, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(&bytes)?;
    file.sync_data()
}

/// All points that are left. A line that cannot be read is an error and never passed over.
fn read(path: &Path) -> io::Result<Points> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Points::new()),
        file => file?,
    };
    let mut points = Points::new();
    for line in BufReader::new(file).lines() {
        match serde_json::from_str(&line?)? {
            Line::Put(put) => points.extend(put.into_iter().map(|point| (point.chunk, point))),
            Line::Gone(chunks) => chunks.iter().for_each(|chunk| drop(points.remove(chunk))),
        }
    }
    Ok(points)
}

// === one point ===

fn origin(scope: &TenantScope, point: &Point) -> Origin {
    Origin::Tenant { tenant: scope.tenant(), branch: point.branch }
}

/// The file is the tenant's; which of its branches a scope sees is the scope's to say.
fn sees(scope: &TenantScope, point: &Point) -> bool {
    scope.admits(origin(scope, point))
}

/// A condition that is not known here leaves nothing: a filter is applied or nothing is found.
fn fits(filter: &Filter, point: &Point) -> bool {
    filter.conditions().iter().all(|condition| match condition {
        Condition::Document(ids) => ids.contains(&point.document),
        Condition::Label { name, any_of } => {
            point.labels.get(name).is_some_and(|value| any_of.contains(value))
        }
        _ => false,
    })
}

/// Scored by cosine or by the words in common; without one there is no hit.
fn hit(scope: &TenantScope, vector: &QueryVector, point: &Point) -> Option<Hit> {
    let score = match vector {
        QueryVector::Dense(vector) => cosine(vector.as_slice(), point.dense.as_slice()),
        QueryVector::Sparse(words) => Some(in_common(words, &point.sparse)).filter(|score| *score > 0.0)?,
        _ => return None,
    };
    Some(Hit { chunk: point.chunk, document: point.document, origin: origin(scope, point), score })
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { product(a, b) / lengths } else { 0.0 }
}

fn in_common(a: &SparseVector, b: &SparseVector) -> f32 {
    let weight = |word: &u32| b.indices.binary_search(word).ok().and_then(|at| b.values.get(at));
    a.indices.iter().zip(&a.values).filter_map(|(word, x)| Some(x * weight(word)?)).sum()
}
