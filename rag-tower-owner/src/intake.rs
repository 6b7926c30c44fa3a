//! Files in, a tenant's documents out, a few at a time; no answer from before is given again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use rag_tower::ingest::{Ingest, Ingested, Ingestor};
use rag_tower::passage::DocumentId;
use rag_tower::postgres::PgDocuments;
use rag_tower::{Error, ErrorKind, Scoped, TenantId, TenantScope};
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::ServiceExt;

use crate::index::Index;
use crate::jobs::{self, Jobs, Kind, Running};
use crate::models::BoxEmbedder;

/// Files taken in at once. Each is held in memory with its vectors.
const AT_ONCE: usize = 2;

/// The one door for documents.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    ingestor: Ingestor<BoxEmbedder, PgDocuments, Index>,
    permits: Arc<Semaphore>,
    jobs: Jobs,
    epochs: Epochs,
}

/// What answers are made with, as a name for each tenant that changes with its documents. Clones share it.
///
/// Names are told apart by what this process took in: kept answers are in this process too, and go with it.
#[derive(Clone, Debug)]
pub(crate) struct Epochs {
    base: Arc<str>,
    changed: Arc<RwLock<HashMap<TenantId, Epoch>>>,
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    name: Arc<str>,
}

/// Begins a new epoch when it is dropped: when a change is through, has failed half-way, or was given up.
struct Change<'a>(&'a Epochs, TenantId);

// === impl Intake ===

impl Intake {
    pub(crate) fn new(ingestor: Ingestor<BoxEmbedder, PgDocuments, Index>, epochs: Epochs) -> Self {
        Self { ingestor, permits: Arc::new(Semaphore::new(AT_ONCE)), jobs: Jobs::default(), epochs }
    }

    /// Takes a file in. `file` is awaited when it is this file's turn, so that those that wait hold no bytes.
    pub(crate) async fn take<E: From<Error>>(
        &self,
        file: impl Future<Output = Result<Ingest, E>>,
    ) -> Result<Ingested, E> {
        let _turn = self.turn().await;
        let _running = Running::new(Kind::File);
        // what comes over the network and is no file is the sender's fault
        let file = file.await.inspect_err(|_| jobs::failed(ErrorKind::InvalidInput))?;
        let _change = Change(&self.epochs, file.scope().tenant());
        let taken = self.ingestor.clone().oneshot(file).await;
        Ok(taken.inspect_err(|error| jobs::failed(error.kind()))?)
    }

    /// Takes several files in, small ones together, and says of each how it went.
    pub(crate) async fn take_all(&self, files: Vec<Ingest>) -> Vec<Result<Ingested, Error>> {
        let _turn = self.turn().await;
        let _running = Running::new(Kind::Batch);
        let tenants: HashSet<TenantId> = files.iter().map(|file| file.scope().tenant()).collect();
        let _changes: Vec<_> = tenants.into_iter().map(|tenant| Change(&self.epochs, tenant)).collect();
        let taken = self.ingestor.take_all(files).await;
        taken.iter().filter_map(|file| file.as_ref().err()).for_each(|error| jobs::failed(error.kind()));
        taken
    }

    /// Removes a document everywhere; true when there was one.
    pub(crate) async fn remove(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, Error> {
        let _running = Running::new(Kind::Remove);
        let _change = Change(&self.epochs, scope.tenant());
        self.ingestor.remove(scope, document).await.inspect_err(|error| jobs::failed(error.kind()))
    }

    /// The jobs that wait.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let _queued = self.jobs.queue();
        // it is never closed
        self.permits.acquire().await.ok()
    }

    /// What mends the index. It changes no document.
    pub(crate) fn ingestor(&self) -> &Ingestor<BoxEmbedder, PgDocuments, Index> {
        &self.ingestor
    }
}

// === impl Epochs ===

impl Epochs {
    /// Epochs of tenants whose documents have not changed yet; `base` names everything else.
    pub(crate) fn new(base: impl Into<Arc<str>>) -> Self {
        Self { base: base.into(), changed: Arc::default() }
    }

    /// The tenant's epoch now. An answer that began in one is never given in another.
    pub(crate) fn of(&self, scope: &TenantScope) -> Arc<str> {
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(changed.get(&scope.tenant()).map_or(&self.base, |epoch| &epoch.name))
    }

    fn next(&self, tenant: TenantId) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        let number = changed.get(&tenant).map_or(0, |epoch| epoch.number) + 1;
        changed.insert(tenant, Epoch { number, name: format!("{}/{number}", self.base).into() });
    }
}

// === impl Change ===

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.next(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::scope_of;

    #[test]
    fn t31_a_change_ends_the_epoch_of_its_tenant_alone() {
        let epochs = Epochs::new("model/recipe");
        let (a, b) = (scope_of(TenantId::named("a")), scope_of(TenantId::named("b")));
        let before = epochs.of(&a);
        assert_eq!(before, epochs.of(&b));
        drop(Change(&epochs, a.tenant()));
        let after = epochs.of(&a);
        assert_ne!(before, after);
        assert_eq!(epochs.of(&b), before);
        drop(Change(&epochs, a.tenant()));
        assert_ne!(epochs.of(&a), after);
    }
}
