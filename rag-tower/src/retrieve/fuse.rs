//! What the combinations of sources share: asking one of several, giving up on it, and fusing what they found.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::query::fetch_part;
use super::series::Series;
use super::{Query, Retrieve};
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::{Found, Passage, Passages};
use crate::rank::rrf;
use crate::trace::TraceHandle;

/// A source's name, and what is measured under it.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) name: Arc<str>,
    series: Series,
}

impl Name {
    pub(super) fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { series: Series::of(&name), name }
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

/// Asks one source by the time allowed. What it found has passed the door and says who found it.
pub(super) async fn ask<V, R: Retrieve<V>>(
    Name { name, series }: &Name,
    source: R,
    query: Query<V>,
    within: Option<Duration>,
) -> Result<Vec<Passage>, Error> {
    let search = fetch_part(source, query);
    let passages: Passages = match within {
        None => search.await?,
        Some(within) => tokio::time::timeout(within, search).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, Stage::Retrieve).with_message("a source took too long")
        })??,
    };
    series.record(&passages);
    let mut passages = passages.into_vec();
    for (rank, passage) in (1..).zip(&mut passages) {
        if passage.found.is_empty() {
            passage.found.insert(Arc::clone(name), Found { rank, score: passage.score });
        }
    }
    Ok(passages)
}

/// Takes what a source answered. A source that is down is noted and gives nothing; one that returned a foreign passage,
/// or could not apply the tenant's filter, fails the whole search: another source's answer does not mend that.
pub(super) fn survive<T>(
    Name { name, .. }: &Name,
    answered: Result<T, Error>,
    trace: &TraceHandle,
) -> Result<Option<T>, Error> {
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), ErrorKind::Isolation | ErrorKind::FilterUnavailable) => {
            Err(error)
        }
        Err(error) => {
            tracing::warn!(source = %name, kind = %error.kind(), "a source failed; the others answer");
            trace.degrade(Arc::clone(name));
            Ok(None)
        }
    }
}

/// The error when no source survived.
pub(super) fn all_down() -> Error {
    Error::new(ErrorKind::StoreUnavailable, Stage::Retrieve)
}

/// Reciprocal-rank fusion of lists, each with its weight; see [`rrf`]. The best `limit` remain, each with how every list
/// found it. What it leaves out had been let in too, and is on the receipt.
pub(super) fn fuse(lists: Vec<(f32, Vec<Passage>)>, limit: usize, trace: &TraceHandle) -> Vec<Passage> {
    let admitted: usize = lists.iter().map(|(_, list)| list.len()).sum();
    let chunks = |(weight, list): &(f32, Vec<Passage>)| {
        (*weight, list.iter().map(|passage| passage.chunk).collect::<Vec<_>>())
    };
    let ranked = rrf(lists.iter().map(chunks));
    let mut passages = HashMap::<_, Passage>::new();
    for mut passage in lists.into_iter().flat_map(|(_, list)| list) {
        match passages.entry(passage.chunk) {
            Entry::Occupied(mut known) => known.get_mut().found.append(&mut passage.found),
            Entry::Vacant(entry) => {
                entry.insert(passage);
            }
        }
    }
    let fused = ranked.into_iter().take(limit).filter_map(|(chunk, score)| {
        let passage = passages.remove(&chunk)?;
        Some(Passage { score, ..passage })
    });
    let fused: Vec<Passage> = fused.collect();
    trace.receipt(|receipt| receipt.admit(admitted - fused.len()));
    fused
}
