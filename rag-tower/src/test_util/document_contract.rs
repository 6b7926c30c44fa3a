//! What every store of documents must do, as a check to run over it: yours too.
//!
//! ```
//! # async fn my_store() -> rag_tower::ingest::MemoryDocuments {
//! #     rag_tower::ingest::MemoryDocuments::new(10_000)
//! # }
//! use rag_tower::test_util::document_contract;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = my_store().await;
//! document_contract::texts_hold(&store, &store).await.unwrap();
//! document_contract::words_hold(&store, &store).await.unwrap();
//! # });
//! ```
//!
//! One store may be all of [`DocumentStore`], [`ChunkStore`] and [`TermStats`], or each may be another that reads what the first
//! has written. Those of this crate, in memory and in Postgres, pass it as well.
//!
//! | promise of a [`ChunkStore`] | because |
//! |---|---|
//! | passages come in the order of the hits, with the text as it was put, the hit's score, and its rank among all hits | ranks of several sources are fused |
//! | a hit without a text is left out | an index lags behind |
//! | a document that was put again, or removed, is no longer what it was, at once | answers come from it |
//! | a hit whose origin the scope does not admit is [`Isolation`](ErrorKind::Isolation), and nothing is given | the index is broken |
//! | a hit of another tenant's chunk that claims to be one's own has no text | the index may lie |
//! | the origin of a passage is the document's own and not the hit's | what is compared at the door needs two witnesses |
//! | equal ids of two tenants are two documents | ids are made from names, which two tenants may share |
//! | many asks at once give each tenant its own | reads may be shared, cached, or pooled |
//!
//! | promise of [`TermStats`] | because |
//! |---|---|
//! | a tenant's chunks and words are counted, and no other's | no tenant may touch another's ranking |
//! | counts follow what is put again and removed | so may no removed text |
//! | writers of one tenant at once lose nothing | files are taken in side by side |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use uuid::Uuid;

pub use super::BrokenPromise;
use super::promise::{Kept, fails, same};
use crate::error::{Error, ErrorKind};
use crate::passage::{ChunkId, DocumentId, Found, Origin, Passage};
use crate::port::{Chunk, ChunkStore, Document, DocumentStore, Hit, TermStats};
use crate::tenant::{BranchId, Branches, Grant, TenantId, TenantScope};

/// The source whose hits the suite brings.
const SOURCE: &str = "dense";
/// The largest id of a word: a store that keeps signed numbers has to keep this one too.
const LAST_WORD: u32 = u32::MAX;

/// Runs the contract of [`ChunkStore`] over `chunks`, which gives the texts that `documents` keeps.
///
/// Every check uses tenants of its own, so that one store serves all of them, as in life; what they write stays there.
///
/// # Errors
/// The first promise that the store breaks.
pub async fn texts_hold<D: DocumentStore, C: ChunkStore>(
    documents: &D,
    chunks: &C,
) -> Result<(), BrokenPromise> {
    passages_are_what_was_found(documents, chunks).await?;
    what_changes_is_changed_at_once(documents, chunks).await?;
    an_index_that_lies_gets_nothing(documents, chunks).await?;
    the_origin_is_the_documents_own(documents, chunks).await?;
    equal_ids_of_two_tenants_are_two_documents(documents, chunks).await?;
    many_at_once_are_kept_apart(documents, chunks).await
}

/// Runs the contract of [`TermStats`] over `words`, which counts what `documents` keeps. The same holds as for [`texts_hold`].
///
/// # Errors
/// The first promise that the store breaks.
pub async fn words_hold<D: DocumentStore, W: TermStats>(
    documents: &D,
    words: &W,
) -> Result<(), BrokenPromise> {
    words_are_counted_for_their_tenant(documents, words).await?;
    writers_of_one_tenant_lose_nothing(documents, words).await
}

async fn passages_are_what_was_found<D: DocumentStore, C: ChunkStore>(documents: &D, chunks: &C) -> Kept {
    let a = tenant();
    let (fees, pieces) = document(&a, "fees", &["one", "two", "ba — \u{1f0cf}"]);
    documents.put(&a, &fees, &pieces).await?;
    let none = read(chunks, &a, Vec::new()).await?;
    same("no hits are no passages", none, Vec::new())?;
    let gone = ChunkId::of(a.tenant(), fees.id, 99);
    let ids = [pieces[2].id, gone, pieces[0].id];
    let hits: Vec<_> =
        ids.into_iter().zip([0.5, 0.25, 0.125]).map(|(id, score)| Hit { score, ..hit(&a, id) }).collect();
    let own = Origin::Tenant { tenant: a.tenant(), branch: None };
    let expected = [(2_usize, 1, 0.5), (0, 3, 0.125)].map(|(seq, rank, score)| Passage {
        chunk: pieces[seq].id,
        document: fees.id,
        seq: pieces[seq].seq,
        origin: own,
        title: Arc::clone(&fees.title),
        file_name: Arc::clone(&fees.file_name),
        text: Arc::clone(&pieces[seq].text),
        score,
        found: BTreeMap::from([(SOURCE.into(), Found { rank, score })]),
    });
    let found = read(chunks, &a, hits).await?;
    let promise = "passages are what was put, in the order of the hits with rank and score, without hits that have no text";
    same(promise, found, expected.to_vec())
}

async fn what_changes_is_changed_at_once<D: DocumentStore, C: ChunkStore>(documents: &D, chunks: &C) -> Kept {
    let (a, b) = (tenant(), tenant());
    let (fees, old) = document(&a, "fees", &["one", "two"]);
    let (_, new) = document(&a, "fees", &["uno"]);
    let now = async || texts(chunks, &a, &old).await;
    documents.put(&a, &fees, &old).await?;
    same("what was put is found", now().await?, strings(&["one", "two"]))?;
    documents.put(&a, &fees, &new).await?;
    same("a document that is put again takes the place of the old", now().await?, strings(&["uno"]))?;
    let promise = "a document is removed of its own tenant alone";
    same(promise, documents.delete(&b, fees.id).await?, false)?;
    same(promise, now().await?, strings(&["uno"]))?;
    same("removing says that there was a document", documents.delete(&a, fees.id).await?, true)?;
    same("a document that was removed is found no more", now().await?, strings(&[]))?;
    same("removing says that there was none", documents.delete(&a, fees.id).await?, false)?;
    documents.put(&a, &fees, &old).await?;
    same("a document that was removed can be put again", now().await?, strings(&["one", "two"]))
}

async fn an_index_that_lies_gets_nothing<D: DocumentStore, C: ChunkStore>(documents: &D, chunks: &C) -> Kept {
    let (a, b) = (tenant(), tenant());
    let (fees, pieces) = document(&a, "fees", &["a's own"]);
    let (other, others) = document(&b, "other", &["b's own"]);
    documents.put(&a, &fees, &pieces).await?;
    documents.put(&b, &other, &others).await?;
    let claimed = vec![hit(&b, pieces[0].id), hit(&b, others[0].id)];
    let found = read(chunks, &b, claimed).await?;
    let found: Vec<_> = found.iter().map(|passage| passage.text.to_string()).collect();
    same("another tenant's chunk has no text, whoever's it is said to be", found, strings(&["b's own"]))?;
    let open = vec![hit(&b, others[0].id), hit(&a, pieces[0].id)];
    let refused = chunks.passages(&b, &SOURCE.into(), open).await;
    fails(
        "a hit that is said to be another tenant's is refused with all others",
        refused,
        ErrorKind::Isolation,
    )
}

async fn the_origin_is_the_documents_own<D: DocumentStore, C: ChunkStore>(documents: &D, chunks: &C) -> Kept {
    let all = tenant();
    let [north, south] = ["north", "south"].map(|name| BranchId::named(all.tenant(), name));
    let of_south = Grant::new(all.tenant()).with_branches(Branches::Only(Arc::from([south])));
    let of_south = crate::test_util::granted(of_south);
    let (fees, pieces) = document(&all, "fees", &["of the north"]);
    documents.put(&all, &Document { branch: Some(north), ..fees }, &pieces).await?;
    let own = Origin::Tenant { tenant: all.tenant(), branch: Some(north) };
    let promise = "the origin of a passage is the document's own and not the hit's";
    // the index says: of every branch
    let found = read(chunks, &all, vec![hit(&all, pieces[0].id)]).await?;
    same(promise, origins(&found), vec![own])?;
    // to whom it is not granted it is either not given, or given as what it is, and stopped at the door
    let found = read(chunks, &of_south, vec![hit(&all, pieces[0].id)]).await?;
    let found = origins(&found).into_iter().filter(|origin| *origin != own).collect::<Vec<_>>();
    same(promise, found, Vec::new())?;
    let open = Hit { origin: own, ..hit(&all, pieces[0].id) };
    let refused = chunks.passages(&of_south, &SOURCE.into(), vec![open]).await;
    fails("a hit of a branch that is not granted is refused", refused, ErrorKind::Isolation)
}

async fn equal_ids_of_two_tenants_are_two_documents<D: DocumentStore, C: ChunkStore>(
    documents: &D,
    chunks: &C,
) -> Kept {
    let (a, b) = (tenant(), tenant());
    let (fees, pieces) = document(&a, "fees", &["a's own"]);
    documents.put(&a, &fees, &pieces).await?;
    let claimed = Chunk { text: "b's own".into(), ..pieces[0].clone() };
    documents.put(&b, &fees, &[claimed]).await?;
    let promise = "equal ids of two tenants are two documents";
    same(promise, texts(chunks, &a, &pieces).await?, strings(&["a's own"]))?;
    same(promise, texts(chunks, &b, &pieces).await?, strings(&["b's own"]))?;
    documents.delete(&b, fees.id).await?;
    same(promise, texts(chunks, &a, &pieces).await?, strings(&["a's own"]))?;
    same(promise, texts(chunks, &b, &pieces).await?, strings(&[]))
}

async fn many_at_once_are_kept_apart<D: DocumentStore, C: ChunkStore>(documents: &D, chunks: &C) -> Kept {
    let (a, b) = (tenant(), tenant());
    let (fees, pieces) = document(&a, "fees", &["one", "two"]);
    documents.put(&a, &fees, &pieces).await?;
    // the other tenant's index claims to have found the same chunks
    let asks = (0..60).map(|n| {
        let (own, piece) = (n % 2 == 0, &pieces[n / 2 % 2]);
        let (scope, asked) = (if own { &a } else { &b }, std::slice::from_ref(piece));
        async move { (texts(chunks, scope, asked).await, own, piece.text.to_string()) }
    });
    for (found, own, text) in join_all(asks).await {
        let expected = if own { vec![text] } else { Vec::new() };
        same("many asks at once give each tenant its own", found?, expected)?;
    }
    Ok(())
}

async fn words_are_counted_for_their_tenant<D: DocumentStore, W: TermStats>(
    documents: &D,
    words: &W,
) -> Kept {
    let (a, b) = (tenant(), tenant());
    let (fees, mut pieces) = document(&a, "fees", &["", ""]);
    let (rules, mut others) = document(&a, "rules", &[""]);
    pieces[0].terms = vec![(1, 2), (LAST_WORD, 1)];
    pieces[1].terms = vec![(1, 1), (2, 5)];
    others[0].terms = vec![(1, 1)];
    documents.put(&a, &fees, &pieces).await?;
    documents.put(&a, &rules, &others).await?;
    let promise = "a tenant's chunks and words are counted, and no other's";
    let all = [1, 2, 3, LAST_WORD];
    same(promise, counted(words, &a, &all).await?, (3, vec![3, 1, 0, 1]))?;
    same(promise, counted(words, &b, &all).await?, (0, vec![0; 4]))?;
    same(promise, counted(words, &a, &[]).await?, (3, vec![]))?;
    let promise = "counts follow what is put again and removed";
    pieces.truncate(1);
    pieces[0].terms = vec![(3, 1)];
    documents.put(&a, &fees, &pieces).await?;
    same(promise, counted(words, &a, &all).await?, (2, vec![1, 0, 1, 0]))?;
    documents.delete(&b, fees.id).await?;
    same(promise, counted(words, &a, &all).await?, (2, vec![1, 0, 1, 0]))?;
    documents.delete(&a, fees.id).await?;
    same(promise, counted(words, &a, &all).await?, (1, vec![1, 0, 0, 0]))?;
    documents.delete(&a, rules.id).await?;
    same(promise, counted(words, &a, &all).await?, (0, vec![0; 4]))
}

async fn writers_of_one_tenant_lose_nothing<D: DocumentStore, W: TermStats>(
    documents: &D,
    words: &W,
) -> Kept {
    let a = tenant();
    let puts = (0..8).map(|n| {
        let (document, mut chunks) = document(&a, &format!("document {n}"), &["text"]);
        chunks[0].terms = vec![(1, 1), (2, 1)];
        let a = &a;
        async move { documents.put(a, &document, &chunks).await }
    });
    try_join_all(puts).await?;
    same("writers of one tenant at once lose nothing", counted(words, &a, &[1, 2]).await?, (8, vec![8, 8]))
}

/// The passages, by a store that was nobody else meanwhile.
async fn read<C: ChunkStore>(
    chunks: &C,
    scope: &TenantScope,
    hits: Vec<Hit>,
) -> Result<Vec<Passage>, BrokenPromise> {
    let read = chunks.passages(scope, &SOURCE.into(), hits).await?;
    if let Some(identity) = &read.identity {
        let tenant = Uuid::try_parse(&identity.tenant_setting).ok();
        let promise = "a database that says who it was in an answer was the scope's tenant";
        same(promise, tenant, Some(scope.tenant().as_uuid()))?;
    }
    Ok(read.passages)
}

/// The texts of these chunks.
async fn texts<C: ChunkStore>(
    chunks: &C,
    scope: &TenantScope,
    asked: &[Chunk],
) -> Result<Vec<String>, BrokenPromise> {
    let hits = asked.iter().map(|chunk| hit(scope, chunk.id)).collect();
    Ok(read(chunks, scope, hits).await?.iter().map(|passage| passage.text.to_string()).collect())
}

/// How many chunks there are, and how many hold each word; a word that is not named is in none.
async fn counted<W: TermStats>(
    words: &W,
    scope: &TenantScope,
    asked: &[u32],
) -> Result<(u64, Vec<u64>), Error> {
    let (chunks, found): (u64, HashMap<u32, u64>) = words.frequencies(scope, asked).await?;
    Ok((chunks, asked.iter().map(|word| found.get(word).copied().unwrap_or_default()).collect()))
}

fn origins(passages: &[Passage]) -> Vec<Origin> {
    passages.iter().map(|passage| passage.origin).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn tenant() -> TenantScope {
    crate::test_util::granted(TenantId::new(Uuid::now_v7()))
}

/// A document of the scope's tenant, and its chunks with these texts.
fn document(scope: &TenantScope, name: &str, texts: &[&str]) -> (Document, Vec<Chunk>) {
    let document = Document {
        id: DocumentId::named(scope.tenant(), name),
        branch: None,
        title: format!("Title of {name}").into(),
        file_name: format!("{name}.md").into(),
        labels: BTreeMap::from([("kind".into(), "fees".into())]),
    };
    let chunk = |(seq, text): (u32, &&str)| Chunk {
        id: ChunkId::of(scope.tenant(), document.id, seq),
        seq,
        text: (*text).into(),
        terms: vec![(7, 1)],
    };
    let chunks = (0..).zip(texts).map(chunk).collect();
    (document, chunks)
}

/// A hit that says that it is the scope's tenant's, of every branch.
fn hit(scope: &TenantScope, chunk: ChunkId) -> Hit {
    let origin = Origin::Tenant { tenant: scope.tenant(), branch: None };
    Hit { chunk, document: DocumentId::named(scope.tenant(), "as the index has it"), origin, score: 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::MemoryDocuments;
    use crate::port::ReadPassages;

    #[tokio::test]
    async fn t14_documents_in_memory_keep_it() {
        let store = MemoryDocuments::new(1_000);
        texts_hold(&store, &store).await.unwrap();
        words_hold(&store, &store).await.unwrap();
    }

    /// Reads as somebody else than who asks.
    struct As(MemoryDocuments, TenantScope);

    impl ChunkStore for As {
        async fn passages(
            &self,
            _: &TenantScope,
            source: &Arc<str>,
            mut hits: Vec<Hit>,
        ) -> Result<ReadPassages, Error> {
            let origin = Origin::Tenant { tenant: self.1.tenant(), branch: None };
            hits.iter_mut().for_each(|hit| hit.origin = origin);
            self.0.passages(&self.1, source, hits).await
        }
    }

    /// Believes the index.
    struct Believing(MemoryDocuments);

    impl ChunkStore for Believing {
        async fn passages(
            &self,
            scope: &TenantScope,
            source: &Arc<str>,
            hits: Vec<Hit>,
        ) -> Result<ReadPassages, Error> {
            let origins: HashMap<_, _> = hits.iter().map(|hit| (hit.chunk, hit.origin)).collect();
            let mut read = self.0.passages(scope, source, hits).await?;
            for passage in &mut read.passages {
                passage.origin = origins[&passage.chunk];
            }
            Ok(read)
        }
    }

    /// Counts everybody's words.
    struct Everybody(MemoryDocuments, TenantScope);

    impl TermStats for Everybody {
        async fn frequencies(
            &self,
            _: &TenantScope,
            terms: &[u32],
        ) -> Result<(u64, HashMap<u32, u64>), Error> {
            self.0.frequencies(&self.1, terms).await
        }
    }

    #[tokio::test]
    async fn a_store_that_breaks_it_is_told_where() {
        let store = MemoryDocuments::new(1_000);
        let broken = texts_hold(&store, &As(store.clone(), tenant())).await.unwrap_err().to_string();
        assert!(broken.starts_with("passages are what was put, in the order of the hits"), "{broken}");
        let broken = texts_hold(&store, &Believing(store.clone())).await.unwrap_err().to_string();
        assert!(broken.starts_with("the origin of a passage is the document's own"), "{broken}");
        let broken = words_hold(&store, &Everybody(store.clone(), tenant())).await.unwrap_err().to_string();
        assert!(broken.starts_with("a tenant's chunks and words are counted"), "{broken}");
        let full = MemoryDocuments::new(1);
        let broken = texts_hold(&full, &full).await.unwrap_err().to_string();
        assert!(broken.starts_with("a call that nothing speaks against succeeds: "), "{broken}");
    }
}
