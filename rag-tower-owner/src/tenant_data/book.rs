//! Where tools and the router find a tenant's data.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use rag_tower::route::{RouteBook, Routes};
use rag_tower::{Error, TenantId, TenantScope};

use super::TenantData;

/// Where tools find a tenant's data: what a backend implements.
pub trait TenantBook: Send + Sync + 'static {
    /// The data of the scope's tenant; empty when it has configured nothing.
    ///
    /// # Errors
    /// [`StoreUnavailable`](rag_tower::ErrorKind::StoreUnavailable).
    fn data(&self, scope: &TenantScope) -> impl Future<Output = Result<Arc<TenantData>, Error>> + Send;
}

/// Tenants' data in memory, put there at the start and whenever it changes. Clones share it. A tenant that is not in it
/// has no data, and every question of its is searched for.
#[derive(Clone, Debug, Default)]
pub struct InMemoryBook(Arc<RwLock<HashMap<TenantId, Entry>>>);

#[derive(Clone, Debug)]
struct Entry {
    data: Arc<TenantData>,
    routes: Arc<Routes>,
}

/// What a tenant that is not in a book has: made once, since it is looked up with each of its questions.
static NOTHING: LazyLock<Entry> = LazyLock::new(|| Entry::new(TenantData::default()));

// === impl InMemoryBook ===

impl InMemoryBook {
    /// A book without a tenant.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the data of the scope's tenant in the book, in place of what was there.
    ///
    /// This [learns](Routes::new) the tenant's routes, on the thread that it is called on.
    pub fn insert(&self, scope: &TenantScope, data: TenantData) {
        let entry = Entry::new(data);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(scope.tenant(), entry);
    }

    /// As [`insert`](Self::insert), on a blocking thread.
    ///
    /// # Errors
    /// [`JoinError`](tokio::task::JoinError) when the runtime ends before it has begun.
    pub async fn learn(&self, scope: &TenantScope, data: TenantData) -> Result<(), tokio::task::JoinError> {
        let (book, scope) = (self.clone(), scope.clone());
        tokio::task::spawn_blocking(move || book.insert(&scope, data)).await
    }

    fn entry(&self, scope: &TenantScope) -> Entry {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        book.get(&scope.tenant()).cloned().unwrap_or_else(|| NOTHING.clone())
    }
}

impl TenantBook for InMemoryBook {
    async fn data(&self, scope: &TenantScope) -> Result<Arc<TenantData>, Error> {
        Ok(self.entry(scope).data)
    }
}

impl RouteBook for InMemoryBook {
    fn routes(&self, scope: &TenantScope) -> Arc<Routes> {
        self.entry(scope).routes
    }
}

// === impl Entry ===

impl Entry {
    fn new(data: TenantData) -> Self {
        Self { routes: Arc::new(data.routes()), data: Arc::new(data) }
    }
}
