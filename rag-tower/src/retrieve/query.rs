//! What a source of passages is asked, and the one door its answer comes through.

use std::sync::Arc;

use tower::ServiceExt;
use tower_service::Service;

use crate::ask::Ask;
use crate::error::{Error, Stage};
use crate::filter::Filter;
use crate::passage::{Passage, Passages};
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::{Confines, Searching, TraceHandle};

/// A search: by text alone (`Query`), or by text and vector (`Query<Embedding>`), so that one embedding serves any
/// number of sources.
#[derive(Clone, Debug)]
pub struct Query<V = ()> {
    /// Whose search.
    pub scope: TenantScope,
    /// Where it is written down.
    pub trace: TraceHandle,
    /// The words to look for.
    pub text: Arc<str>,
    /// The vector to look for, where a source needs one.
    pub vector: V,
    /// What narrows it.
    pub filter: Filter,
    /// The most passages.
    pub limit: usize,
}

/// A service that finds passages: [`Query`] in, [`Passage`]s out, best first. Implemented by every service of that
/// shape. What it returns is not trusted: it enters the RAG plane through [`fetch`].
pub trait Retrieve<V>:
    Service<Query<V>, Response = Vec<Passage>, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S, V> Retrieve<V> for S where
    S: Service<Query<V>, Response = Vec<Passage>, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Asks a source, and lets in what it found when the scope admits all of it. The stage's time is on the trace, and the
/// receipt of what it was confined to and what came of it.
///
/// # Errors
/// The source's own, and [`Isolation`](crate::ErrorKind::Isolation) when any passage is foreign.
pub async fn fetch<V, R: Retrieve<V>>(source: R, query: Query<V>) -> Result<Passages, Error> {
    let timer = query.trace.time(Stage::Retrieve);
    let searching = Searching::begin(&query.trace, Confines::of(&query.scope, &query.filter));
    let found = fetch_part(source, query).await;
    drop(timer);
    searching.end(&found);
    found
}

/// [`fetch`] for one of several sources, whose time is part of another's. What it lets in counts where it goes on.
pub(crate) async fn fetch_part<V, R: Retrieve<V>>(source: R, query: Query<V>) -> Result<Passages, Error> {
    let (scope, trace) = (query.scope.clone(), query.trace.clone());
    let found = source.oneshot(query).await?;
    let received = found.len();
    Passages::check(&scope, found).inspect_err(|_| trace.receipt(|receipt| receipt.turn_away(received)))
}

// === impl Query ===

impl Query {
    /// The search that an ask starts, by its question's text.
    #[must_use]
    pub fn of(ask: &Ask, limit: usize) -> Self {
        Self {
            scope: ask.scope().clone(),
            trace: ask.trace().clone(),
            text: ask.question().shared(),
            vector: (),
            filter: ask.filter().clone(),
            limit,
        }
    }
}

impl<V> Query<V> {
    /// The same search with another vector.
    pub fn with_vector<W>(self, vector: W) -> Query<W> {
        let Self { scope, trace, text, vector: _, filter, limit } = self;
        Query { scope, trace, text, vector, filter, limit }
    }
}

impl<V> Scoped for Query<V> {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}
