//! Documents, their chunks and the counts of their words: the truth that every vector index is built from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::corpus_state::{CorpusState, SeenWithKey};
use super::counts::{self, Corpus, Counts, Vocabulary};
use super::database::{Database, Role};
use super::error::DatabaseError;
use super::known_texts::KnownTexts;
use super::shared_read::SharedReads;
use super::sql;
use super::tenant_tx::TenantTx;
use super::text::clean;
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::{ChunkId, DocumentId, Found, Origin, Passage};
use crate::port::{Chunk, ChunkStore, Document, DocumentStore, Hit, ReadPassages, TermStats, WrongIdentity};
use crate::tenant::{BranchId, TenantId, TenantScope};
use crate::trace::DatabaseIdentity;

/// Keeps documents in Postgres. Clones share up to 64 MiB of the counts of words, which are read again after a change
/// through any of them, and a second after one by another process; and up to 64 MiB of text, which counts only as long as
/// Postgres says that nothing has changed.
#[derive(Clone)]
pub struct PgDocuments {
    database: Database,
    counts: Arc<Counts>,
    /// Terms that asks of one tenant look for at the same time are read together.
    counted: Arc<CountReads>,
    /// Text for asks of one tenant at the same time is read together.
    texts: Arc<TextReads>,
    known: Arc<KnownTexts>,
}

/// Passages by chunk, of one tenant.
pub(super) type Texts = HashMap<ChunkId, Passage>;
type CountReads = SharedReads<TenantId, Arc<[u32]>, Result<Arc<Counted>, DatabaseError>>;
type TextReads = SharedReads<TenantId, Arc<[Uuid]>, Result<Arc<Read>, DatabaseError>>;

/// What a read of counts gave, for all who share it: the tenant's chunks, and those that hold each of the terms.
struct Counted {
    chunks: u64,
    terms: HashMap<u32, u64>,
}

/// What a read of texts gave, for all who share it.
struct Read {
    /// Who Postgres says that the reader was.
    identity: DatabaseIdentity,
    /// Nothing, when that was not the tenant.
    texts: Texts,
}

/// What the vector index does not have yet.
#[derive(Clone, Debug)]
pub enum Behind {
    /// This document, as it is now, is not in the index.
    Put(Document),
    /// This document was removed, and the index may still have it.
    Delete(DocumentId),
}

// === impl PgDocuments ===

impl PgDocuments {
    /// Keeps documents in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            counts: Arc::new(Counts::new()),
            counted: Arc::new(SharedReads::new()),
            texts: Arc::new(SharedReads::new()),
            known: Arc::new(KnownTexts::new()),
        }
    }

    /// Every tenant that has documents, or had. Ids only: what is in them is read with a scope.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tenants(&self) -> Result<Vec<TenantId>, DatabaseError> {
        self.find(sql::TENANTS_WITH_DOCUMENTS).await
    }

    /// The tenants that have something the vector index does not have.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tenants_behind(&self) -> Result<Vec<TenantId>, DatabaseError> {
        self.find(sql::TENANTS_BEHIND).await
    }

    /// Up to `limit` of the tenant's documents that the vector index does not have, oldest change first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn behind(&self, scope: &TenantScope, limit: u32) -> Result<Vec<Behind>, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let rows = sqlx::query(sql::BEHIND)
            .bind(scope.tenant().as_uuid())
            .bind(i64::from(limit))
            .fetch_all(tx.connection())
            .await?;
        rows.iter().map(behind).collect()
    }

    /// A document's chunks, in order.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn chunks_of(
        &self,
        scope: &TenantScope,
        document: DocumentId,
    ) -> Result<Vec<Chunk>, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let rows = sqlx::query(sql::CHUNKS_OF)
            .bind(scope.tenant().as_uuid())
            .bind(document.as_uuid())
            .fetch_all(tx.connection())
            .await?;
        rows.iter().map(chunk).collect()
    }

    /// How many chunks the tenant has, to compare with what the index counts.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_chunks(&self, scope: &TenantScope) -> Result<u64, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let count: i64 = sqlx::query_scalar(sql::COUNT_CHUNKS)
            .bind(scope.tenant().as_uuid())
            .fetch_one(tx.connection())
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Notes that the index has nothing of the tenant: every document is behind afterwards.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn forget_index(&self, scope: &TenantScope) -> Result<(), DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        sqlx::query(sql::FORGET_INDEX).bind(scope.tenant().as_uuid()).execute(tx.connection()).await?;
        tx.commit().await
    }

    async fn find(&self, statement: &'static str) -> Result<Vec<TenantId>, DatabaseError> {
        let mut tx = self.database.begin(Role::Jobs, None).await?;
        let ids: Vec<Uuid> = sqlx::query_scalar(statement).fetch_all(&mut *tx).await?;
        Ok(ids.into_iter().map(TenantId::new).collect())
    }

    async fn put_rows(
        &self,
        scope: &TenantScope,
        document: &Document,
        chunks: &[Chunk],
    ) -> Result<(), DatabaseError> {
        let tenant = scope.tenant().as_uuid();
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let version: i64 =
            sqlx::query_scalar(sql::NEXT_VERSION).bind(tenant).fetch_one(tx.connection()).await?;
        sqlx::query(sql::PUT_DOCUMENT)
            .bind(tenant)
            .bind(document.id.as_uuid())
            .bind(document.branch.map(|branch| branch.as_uuid()))
            .bind(clean(&document.file_name))
            .bind(clean(&document.title))
            .bind(serde_json::to_value(&document.labels).map_or_else(|_| json!({}), super::text::clean_json))
            .bind(version)
            .execute(tx.connection())
            .await?;
        remove_chunks(&mut tx, tenant, document.id).await?;
        sqlx::query(sql::INSERT_CHUNKS)
            .bind(tenant)
            .bind(document.id.as_uuid())
            .bind(document.branch.map(|branch| branch.as_uuid()))
            .bind(chunks.iter().map(|chunk| chunk.id.as_uuid()).collect::<Vec<_>>())
            .bind(chunks.iter().map(|chunk| i32::try_from(chunk.seq).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(chunks.iter().map(|chunk| clean(&chunk.text)).collect::<Vec<_>>())
            .bind(chunks.iter().map(|chunk| json!(chunk.terms)).collect::<Vec<Value>>())
            .bind(
                chunks
                    .iter()
                    .map(|chunk| chunk.terms.iter().map(|(_, n)| i64::from(*n)).sum())
                    .collect::<Vec<i64>>(),
            )
            .execute(tx.connection())
            .await?;
        sqlx::query(sql::COUNT_TERMS)
            .bind(tenant)
            .bind(document.id.as_uuid())
            .execute(tx.connection())
            .await?;
        finish_change(tx, tenant).await
    }

    async fn delete_rows(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, DatabaseError> {
        let tenant = scope.tenant().as_uuid();
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let version: i64 =
            sqlx::query_scalar(sql::NEXT_VERSION).bind(tenant).fetch_one(tx.connection()).await?;
        let entombed = sqlx::query(sql::ENTOMB_DOCUMENT)
            .bind(tenant)
            .bind(document.as_uuid())
            .bind(version)
            .execute(tx.connection())
            .await?;
        if entombed.rows_affected() == 0 {
            // nothing changed: dropping the transaction takes the version back
            return Ok(false);
        }
        remove_chunks(&mut tx, tenant, document).await?;
        finish_change(tx, tenant).await?;
        Ok(true)
    }

    async fn mark_rows(&self, scope: &TenantScope, document: DocumentId) -> Result<(), DatabaseError> {
        let tenant = scope.tenant().as_uuid();
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        for statement in [sql::MARK_INDEXED, sql::BURY_DOCUMENT] {
            sqlx::query(statement).bind(tenant).bind(document.as_uuid()).execute(tx.connection()).await?;
        }
        tx.commit().await
    }

    /// The passages of these hits in their order, without those that are gone, and who read them. Nothing is read where all are
    /// known in the state that was seen when the scope's key was looked up.
    async fn texts(
        &self,
        scope: &TenantScope,
        hits: &[Hit],
    ) -> Result<(DatabaseIdentity, Vec<Option<Passage>>), DatabaseError> {
        let chunks = || hits.iter().map(|hit| hit.chunk);
        if let Some(seen) = scope.take_beside::<SeenWithKey>()
            && let Some(CorpusState { reader, state: Some(state) }) = seen.of(&self.database)
            && let Some(known) = self.known.all_in(*state, scope.tenant(), chunks())
        {
            return Ok((reader.clone(), known.into_iter().map(Some).collect()));
        }
        let read = self.shared_texts(scope, chunks().map(|chunk| chunk.as_uuid()).collect()).await?;
        let passages = chunks().map(|chunk| read.texts.get(&chunk).cloned()).collect();
        Ok((read.identity.clone(), passages))
    }

    /// The passages of these chunks, and of those that others of the tenant ask for at the same time.
    async fn shared_texts(
        &self,
        scope: &TenantScope,
        chunks: Arc<[Uuid]>,
    ) -> Result<Arc<Read>, DatabaseError> {
        let read = async |asked: Vec<Arc<[Uuid]>>| {
            let mut chunks = asked.concat();
            chunks.sort_unstable();
            chunks.dedup();
            self.read_texts(scope, chunks).await.map(Arc::new)
        };
        self.texts.read(scope.tenant(), chunks, read).await
    }

    /// What is known counts in the state in which the corpus still is; Postgres sends the rest. Nothing counts when it was
    /// not read as the tenant.
    async fn read_texts(&self, scope: &TenantScope, chunks: Vec<Uuid>) -> Result<Read, DatabaseError> {
        let (mut known_in, known) = self.known.get(scope.tenant(), &chunks).unzip();
        let mut known: Texts = known.unwrap_or_default();
        let missing: Vec<Uuid> =
            chunks.iter().copied().filter(|chunk| !known.contains_key(&ChunkId::new(*chunk))).collect();
        if let Some(state) = known_in.take_if(|_| missing.is_empty()) {
            // nearly always: nothing has changed, and one row says so
            let CorpusState { reader: identity, state: now } = self.state(scope).await?;
            if !self.is_tenant(scope, &identity) {
                return Ok(Read { identity, texts: Texts::new() });
            }
            if now == Some(state) {
                return Ok(Read { identity, texts: known });
            }
            known = Texts::new();
        }
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let rows = sqlx::query(sql::PASSAGES)
            .bind(scope.tenant().as_uuid())
            .bind(chunks)
            .bind(missing)
            .bind(known_in.map(|(version, _)| version))
            .bind(known_in.map(|(_, since)| since))
            .fetch_all(tx.connection())
            .await?;
        let corpus = CorpusState::of_row(rows.first().ok_or(sqlx::Error::RowNotFound)?, 0)?;
        let (identity, state) = (corpus.reader, corpus.state);
        // a tenant without a corpus has no chunks
        let (true, Some(state)) = (self.is_tenant(scope, &identity), state) else {
            return Ok(Read { identity, texts: Texts::new() });
        };
        let mut texts = if known_in == Some(state) { known } else { Texts::new() };
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<Uuid>, _>(4)?.is_some() {
                read.push(passage(row)?);
            }
        }
        if !read.is_empty() {
            self.known.put(scope.tenant(), state, read.iter());
        }
        texts.extend(read.into_iter().map(|passage| (passage.chunk, passage)));
        Ok(Read { identity, texts })
    }

    async fn state(&self, scope: &TenantScope) -> Result<CorpusState, DatabaseError> {
        let tenant = scope.tenant().as_uuid();
        let rows = self.database.read(Role::Tenant, sql::CORPUS_STATE, tenant).await?;
        Ok(CorpusState::of_row(rows.first().ok_or(sqlx::Error::RowNotFound)?, 0)?)
    }

    /// True when this is who a transaction of the scope's tenant is.
    fn is_tenant(&self, scope: &TenantScope, identity: &DatabaseIdentity) -> bool {
        let tenant = Uuid::try_parse(&identity.tenant_setting);
        self.database.becomes(Role::Tenant, &identity.role) && tenant == Ok(scope.tenant().as_uuid())
    }

    /// The tenant's counts: as they are known, or read.
    async fn counted(
        &self,
        scope: &TenantScope,
        terms: &[u32],
    ) -> Result<(u64, HashMap<u32, u64>), DatabaseError> {
        if let Some(known) = self.counts.get(scope.tenant(), terms) {
            return Ok(known);
        }
        let read = async |asked: Vec<Arc<[u32]>>| {
            let mut terms = asked.concat();
            terms.sort_unstable();
            terms.dedup();
            self.read_counts(scope, &terms).await.map(Arc::new)
        };
        let read = self.counted.read(scope.tenant(), terms.into(), read).await?;
        let found = |term: &u32| read.terms.get(term).map(|chunks| (*term, *chunks));
        Ok((read.chunks, terms.iter().filter_map(found).collect()))
    }

    async fn read_counts(&self, scope: &TenantScope, terms: &[u32]) -> Result<Counted, DatabaseError> {
        let began = self.counts.begin();
        let (corpus, found) = corpus_of(&self.frequency_rows(scope, terms).await?);
        // a tenant without a corpus has no chunks
        let Some((version, chunks)) = corpus else { return Ok(Counted { chunks: 0, terms: found }) };
        let mut single: HashMap<u32, u64> = terms.iter().map(|term| (*term, 0)).collect();
        single.extend(&found);
        if self.counts.put(began, scope.tenant(), Corpus::new(version, chunks, single)) {
            // once per version: from then on a word that nobody wrote costs no look-up
            self.read_vocabulary(scope).await?;
        }
        Ok(Counted { chunks, terms: found })
    }

    async fn read_vocabulary(&self, scope: &TenantScope) -> Result<(), DatabaseError> {
        let began = self.counts.begin();
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let row: Option<(i64, i64, Vec<i64>, Vec<i64>)> = sqlx::query_as(sql::VOCABULARY)
            .bind(scope.tenant().as_uuid())
            .bind(counts::VOCABULARY as i64 + 1)
            .fetch_optional(tx.connection())
            .await?;
        let Some((version, chunks, terms, of_terms)) = row else { return Ok(()) };
        if terms.len() > counts::VOCABULARY {
            self.counts.too_large(scope.tenant());
            return Ok(());
        }
        let terms = terms.into_iter().map(narrow).zip(of_terms.into_iter().map(narrow));
        let corpus = Corpus::whole(version, chunks.unsigned_abs(), Vocabulary::new(terms));
        self.counts.put(began, scope.tenant(), corpus);
        Ok(())
    }

    async fn frequency_rows(
        &self,
        scope: &TenantScope,
        terms: &[u32],
    ) -> Result<Vec<(i64, i64)>, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let rows = sqlx::query_as(sql::FREQUENCIES)
            .bind(scope.tenant().as_uuid())
            .bind(terms.iter().map(|term| i64::from(*term)).collect::<Vec<_>>())
            .fetch_all(tx.connection())
            .await?;
        Ok(rows)
    }
}

impl DocumentStore for PgDocuments {
    async fn put(&self, scope: &TenantScope, document: &Document, chunks: &[Chunk]) -> Result<(), Error> {
        // what is read with the scope from here on must know of this
        scope.take_beside::<SeenWithKey>();
        let put = self.put_rows(scope, document, chunks).await;
        self.counts.forget(scope.tenant());
        put.map_err(|error| error.at(Stage::Ingest))
    }

    async fn mark_indexed(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        self.mark_rows(scope, document).await.map_err(|error| error.at(Stage::Ingest))
    }

    async fn delete(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, Error> {
        scope.take_beside::<SeenWithKey>();
        let deleted = self.delete_rows(scope, document).await;
        self.counts.forget(scope.tenant());
        deleted.map_err(|error| error.at(Stage::Ingest))
    }
}

impl ChunkStore for PgDocuments {
    async fn passages(
        &self,
        scope: &TenantScope,
        source: &Arc<str>,
        hits: Vec<Hit>,
    ) -> Result<ReadPassages, Error> {
        let foreign = hits.iter().filter(|hit| !scope.admits(hit.origin)).count();
        if foreign > 0 {
            metrics::counter!("rag_isolation_violations_total", "layer" => "index").increment(foreign as u64);
            tracing::error!(foreign, tenant = %scope.tenant(), "a vector index returned hits of another tenant");
            return Err(Error::new(ErrorKind::Isolation, Stage::Retrieve));
        }
        if hits.is_empty() {
            return Ok(ReadPassages::default());
        }
        let (identity, texts) = self.texts(scope, &hits).await.map_err(|error| error.at(Stage::Retrieve))?;
        if !self.is_tenant(scope, &identity) {
            metrics::counter!("rag_isolation_violations_total", "layer" => "database").increment(1);
            tracing::error!(tenant = %scope.tenant(), ?identity, "a transaction was not the tenant's");
            return Err(
                Error::new(ErrorKind::Isolation, Stage::Retrieve).with_source(WrongIdentity(identity))
            );
        }
        let ranked = (1_u32..).zip(hits).zip(texts).filter_map(|((rank, hit), passage)| {
            let mut passage = passage?;
            passage.score = hit.score;
            passage.found.insert(Arc::clone(source), Found { rank, score: hit.score });
            Some(passage)
        });
        Ok(ReadPassages { passages: ranked.collect(), identity: Some(identity) })
    }
}

impl TermStats for PgDocuments {
    async fn frequencies(
        &self,
        scope: &TenantScope,
        terms: &[u32],
    ) -> Result<(u64, HashMap<u32, u64>), Error> {
        self.counted(scope, terms).await.map_err(|error| error.at(Stage::Retrieve))
    }
}

impl fmt::Debug for PgDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgDocuments").field("database", &self.database).finish_non_exhaustive()
    }
}

/// What rows of terms and of the corpus say: its version and chunks, when there is one, and the chunks of each term.
fn corpus_of(rows: &[(i64, i64)]) -> (Option<(i64, u64)>, HashMap<u32, u64>) {
    let (mut chunks, mut version) = (0, None);
    let mut terms = HashMap::with_capacity(rows.len());
    for &(key, value) in rows {
        match (u32::try_from(key), key) {
            (Ok(term), _) => drop(terms.insert(term, value.unsigned_abs())),
            // the rows of the whole corpus
            (Err(_), -1) => chunks = value.unsigned_abs(),
            (Err(_), _) => version = Some(value),
        }
    }
    (version.map(|version| (version, chunks)), terms)
}

/// Takes a document's chunks away, and their words out of the counts.
async fn remove_chunks(tx: &mut TenantTx, tenant: Uuid, document: DocumentId) -> Result<(), DatabaseError> {
    for statement in [sql::UNCOUNT_TERMS, sql::DELETE_CHUNKS] {
        sqlx::query(statement).bind(tenant).bind(document.as_uuid()).execute(tx.connection()).await?;
    }
    Ok(())
}

async fn finish_change(mut tx: TenantTx, tenant: Uuid) -> Result<(), DatabaseError> {
    for statement in [sql::DROP_UNUSED_TERMS, sql::RECOUNT_CORPUS] {
        sqlx::query(statement).bind(tenant).execute(tx.connection()).await?;
    }
    tx.commit().await
}

fn behind(row: &PgRow) -> Result<Behind, DatabaseError> {
    let id = DocumentId::new(row.try_get(0)?);
    if row.try_get(5)? {
        return Ok(Behind::Delete(id));
    }
    Ok(Behind::Put(Document {
        id,
        branch: row.try_get::<Option<Uuid>, _>(1)?.map(BranchId::new),
        file_name: row.try_get::<String, _>(2)?.into(),
        title: row.try_get::<String, _>(3)?.into(),
        labels: row.try_get::<Json<BTreeMap<String, String>>, _>(4)?.0,
    }))
}

fn chunk(row: &PgRow) -> Result<Chunk, DatabaseError> {
    let (terms, counts): (Vec<i64>, Vec<i64>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Chunk {
        id: ChunkId::new(row.try_get(0)?),
        seq: row.try_get::<i32, _>(1)?.unsigned_abs(),
        text: row.try_get::<String, _>(2)?.into(),
        terms: terms.into_iter().map(narrow).zip(counts.into_iter().map(narrow)).collect(),
    })
}

/// Terms are ids of 32 bits, and nothing is counted as often as that.
fn narrow(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn passage(row: &PgRow) -> Result<Passage, sqlx::Error> {
    Ok(Passage {
        chunk: ChunkId::new(row.try_get(4)?),
        document: DocumentId::new(row.try_get(5)?),
        origin: Origin::Tenant {
            branch: row.try_get::<Option<Uuid>, _>(6)?.map(BranchId::new),
            tenant: TenantId::new(row.try_get(7)?),
        },
        seq: row.try_get::<i32, _>(8)?.unsigned_abs(),
        title: row.try_get::<String, _>(9)?.into(),
        file_name: row.try_get::<String, _>(10)?.into(),
        text: row.try_get::<String, _>(11)?.into(),
        score: 0.0,
        found: BTreeMap::new(),
    })
}
