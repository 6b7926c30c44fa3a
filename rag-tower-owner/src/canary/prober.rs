//! Two canary tenants in, what was found in one round of questions out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rag_tower::cache::AnswerCache;
use rag_tower::ingest::Ingest;
use rag_tower::passage::DocumentId;
use rag_tower::port::{EmbedKind, EmbedRequest, QueryVector, VectorQuery, VectorStore};
use rag_tower::postgres::{Database, DatabaseError, PgDocuments, TenantTx};
use rag_tower::{AskId, BoxAskService, Error, Filter, SessionId, TraceHandle};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use uuid::Uuid;

use super::Tenant;
use super::document::{Told, word};
use super::heard::{Heard, ask};
use super::judge::{self, Seen, Verdict};
use super::state::{CheckName, Findings};
use crate::failure::Failure;
use crate::index::Index;
use crate::intake::Intake;
use crate::models::BoxEmbedder;
use crate::registry;

/// The longest that a round may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the rows of an ask are waited for.
const ARRIVAL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// A secret is replaced after so many rounds, and before it is so old.
const ROUNDS: u32 = 10;
const AGE: Duration = Duration::from_mins(50);
/// Hits of a search.
const HITS: usize = 8;

/// Whether this process's document is there.
const KEPT: &str = "SELECT EXISTS (SELECT FROM rag_tower.documents
     WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL)";
/// Documents of servers that replace theirs no more. Every server replaces its own within the hour.
const LEFT_OVER: &str = "SELECT id FROM rag_tower.documents
     WHERE tenant_id = $1 AND id <> ALL ($2) AND deleted_at IS NULL AND updated_at < now() - interval '1 hour' LIMIT 100";
/// Conversations of rounds that are over.
const FORGET: &str =
    "DELETE FROM rag_tower.chat_sessions WHERE tenant_id = $1 AND updated_at < now() - interval '10 minutes'";
/// What there is of an ask, a document and a conversation, in the order of [`judge::ROWS`]. It names no tenant: what is left
/// out is left out by the policies.
const ROWS: &str = "SELECT ARRAY[
     (SELECT count(*) FROM rag_tower.request_traces WHERE trace_id = $1 AND ts = $2),
     (SELECT count(*) FROM rag_tower.documents WHERE id = $3),
     (SELECT count(*) FROM rag_tower.chunks WHERE document_id = $3),
     (SELECT count(*) FROM rag_tower.chat_sessions WHERE id = $4)]";

/// What it asks with: all of it is what other asks are answered with.
pub(crate) struct Parts {
    /// The stack without what is paid for.
    pub(crate) asks: BoxAskService,
    pub(crate) cache: AnswerCache,
    pub(crate) database: Database,
    pub(crate) documents: Arc<PgDocuments>,
    pub(crate) index: Arc<Index>,
    /// For questions.
    pub(crate) embedder: BoxEmbedder,
    pub(crate) intake: Intake,
}

/// Asks, a round at a time. Clones take turns.
#[derive(Clone)]
pub(crate) struct Prober(Arc<Inner>);

struct Inner {
    parts: Parts,
    held: Mutex<Held>,
}

/// What it knows from one round to the next.
#[derive(Default)]
struct Held {
    a: Own,
    b: Own,
    /// Rounds since the secrets were replaced.
    rounds: u32,
    /// When they were, and when the next replacement is due at the latest.
    rotated: Option<(OffsetDateTime, Instant)>,
}

/// What one of the two has.
#[derive(Default)]
struct Own {
    subject: Option<String>,
    /// The document and what it says; none before it is in, and when that failed half-way.
    now: Option<(DocumentId, Told)>,
    /// What it said before.
    before: Option<Told>,
}

/// Why a round did not come to its end, as it may be shown.
struct Trouble(String);

// === impl Prober ===

impl Prober {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, held: Mutex::default() }))
    }

    /// One round, when it is this one's turn: what was found, and when the secrets were replaced last. The next is about
    /// `every` later.
    pub(super) async fn round(&self, every: Duration) -> (Findings, Option<OffsetDateTime>) {
        let mut held = self.0.held.lock().await;
        let mut found = Findings::new();
        match timeout(PATIENCE, self.0.parts.round(&mut held, every, &mut found)).await {
            Ok(Ok(())) => {}
            Ok(Err(Trouble(why))) => found.give_up(&why),
            Err(_) => found.give_up(&format!("it took more than {} s", PATIENCE.as_secs())),
        }
        let rotated = held.rotated.map(|(at, _)| at);
        (found, rotated)
    }

    /// Takes this process's documents away.
    pub(super) async fn leave(&self) {
        let mut held = self.0.held.lock().await;
        for tenant in Tenant::BOTH {
            let Some((document, _)) = held.own(tenant).now.take() else { continue };
            if let Err(error) = self.0.parts.intake.remove(&tenant.scope(), document).await {
                tracing::debug!(%error, "a canary's document stays; another server removes it within the hour");
            }
        }
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").finish_non_exhaustive()
    }
}

// === impl Parts ===

impl Parts {
    async fn round(&self, held: &mut Held, every: Duration, found: &mut Findings) -> Result<(), Trouble> {
        let tenants = Tenant::BOTH.map(|tenant| (tenant.id(), tenant.slug()));
        if !registry::ensure_synthetic(&self.database, &tenants).await? {
            return Err(Trouble("another tenant has the name or the id of a canary".to_owned()));
        }
        self.settle(held, every, found).await?;
        for tenant in Tenant::BOTH {
            self.tidy(held, tenant).await?;
            // what is asked now is searched for, and kept for whoever asks next
            self.cache.purge(&tenant.scope());
        }
        let (Some((_, a)), Some((document, b))) = (&held.a.now, &held.b.now) else { return Ok(()) };

        self.own(Tenant::A, a, held, found).await?;
        let of_b = self.own(Tenant::B, b, held, found).await?;

        let heard = self.ask(Tenant::A, b, None).await?;
        note(found, CheckName::ForeignQuestion, Tenant::A, judge::foreign(&heard, b, *document), &heard);

        let Some(session) = of_b.session else {
            return Err(Trouble("an answer began no conversation".to_owned()));
        };
        // it is there: else nobody would find it
        let own = self.arrived(of_b.ask, *document, session).await?;
        let heard = self.ask(Tenant::A, a, Some(session)).await?;
        note(found, CheckName::ForeignSession, Tenant::A, judge::session(&heard), &heard);

        let other = self.rows(Tenant::A, of_b.ask, *document, session).await?;
        let rows = judge::rows(own, other);
        found.note(CheckName::ForeignRows, Tenant::A, rows, Some(of_b.ask.as_uuid()));

        let vector = self.vector(*document).await?;
        found.note(CheckName::ForeignVector, Tenant::A, vector, None);
        held.rounds += 1;
        Ok(())
    }

    /// Each has its document, and its secret is replaced when it is time.
    async fn settle(&self, held: &mut Held, every: Duration, found: &mut Findings) -> Result<(), Trouble> {
        let due = held.rounds >= ROUNDS || held.rotated.is_some_and(|(_, due)| Instant::now() + every >= due);
        for tenant in Tenant::BOTH {
            let own = held.own(tenant);
            match own.now.take() {
                Some(now) if !due => {
                    // somebody may have taken it for left over, such as while this machine was asleep
                    let there = self.is_kept(tenant, now.0).await;
                    own.now = Some(now);
                    if there? {
                        continue;
                    }
                    own.now = None;
                    self.take(tenant, own).await?;
                }
                Some((document, old)) => {
                    // so that there is an answer that could be given again
                    let before = self.ask(tenant, &old, None).await;
                    own.before = Some(old.clone());
                    own.now = Some((document, old.clone()));
                    before?;
                    self.take(tenant, own).await?;
                    let heard = self.ask(tenant, &old, None).await?;
                    note(found, CheckName::RotatedSecret, tenant, judge::rotated(&heard, &old), &heard);
                }
                None => self.take(tenant, own).await?,
            }
        }
        if due || held.rotated.is_none() {
            held.rounds = 0;
            held.rotated = Some((OffsetDateTime::now_utc(), Instant::now() + AGE));
        }
        Ok(())
    }

    /// Takes a document with a new secret in, in place of what there was.
    async fn take(&self, tenant: Tenant, own: &mut Own) -> Result<(), Trouble> {
        let subject = match &own.subject {
            Some(subject) => subject.clone(),
            None => own.subject.insert(word(6)?).clone(),
        };
        own.now = None;
        let told = Told::new(&subject)?;
        let file = Ingest::new(tenant.scope(), format!("canary-{subject}.md"), told.text());
        let taken = self.intake.take(async { Ok::<_, Error>(file) }).await?;
        let document = taken.documents.first().copied();
        own.now = document.map(|document| (document, told));
        Ok(())
    }

    /// Removes what is left over of other servers, and conversations that are over.
    async fn tidy(&self, held: &mut Held, tenant: Tenant) -> Result<(), Trouble> {
        let own: Vec<Uuid> = held.own(tenant).now.iter().map(|(document, _)| document.as_uuid()).collect();
        let mut tx = TenantTx::begin(&self.database, &tenant.scope()).await?;
        sqlx::query(FORGET).bind(tenant.id().as_uuid()).execute(tx.connection()).await.map_err(refused)?;
        let left: Vec<Uuid> = sqlx::query_scalar(LEFT_OVER)
            .bind(tenant.id().as_uuid())
            .bind(own)
            .fetch_all(tx.connection())
            .await
            .map_err(refused)?;
        tx.commit().await?;
        for document in left {
            self.intake.remove(&tenant.scope(), DocumentId::new(document)).await?;
        }
        Ok(())
    }

    /// Asks for its own secret; the one before it must be gone.
    async fn own(
        &self,
        tenant: Tenant,
        told: &Told,
        held: &Held,
        found: &mut Findings,
    ) -> Result<Heard, Trouble> {
        let heard = self.ask(tenant, told, None).await?;
        note(found, CheckName::OwnSecret, tenant, judge::own(&heard, told), &heard);
        let own = if tenant == Tenant::A { &held.a } else { &held.b };
        if let Some(old) = &own.before {
            note(found, CheckName::RotatedSecret, tenant, judge::rotated(&heard, old), &heard);
        }
        Ok(heard)
    }

    /// The rows of B's ask, document and conversation as B sees them, once they are there.
    async fn arrived(&self, ask: AskId, document: DocumentId, session: SessionId) -> Result<Seen, Trouble> {
        let end = Instant::now() + ARRIVAL;
        loop {
            let seen = self.rows(Tenant::B, ask, document, session).await?;
            if !seen.contains(&0) || Instant::now() >= end {
                return Ok(seen);
            }
            sleep(PAUSE).await;
        }
    }

    async fn rows(
        &self,
        tenant: Tenant,
        ask: AskId,
        document: DocumentId,
        session: SessionId,
    ) -> Result<Seen, Trouble> {
        let mut tx = TenantTx::begin(&self.database, &tenant.scope()).await?;
        let counts: Vec<i64> = sqlx::query_scalar(ROWS)
            .bind(ask.as_uuid())
            .bind(ask.timestamp())
            .bind(document.as_uuid())
            .bind(session.as_uuid())
            .fetch_one(tx.connection())
            .await
            .map_err(refused)?;
        counts.try_into().map_err(|_| Trouble("its rows could not be counted".to_owned()))
    }

    /// A searches for the text of B's document, and so does B.
    async fn vector(&self, document: DocumentId) -> Result<Verdict, Trouble> {
        let chunks = self.documents.chunks_of(&Tenant::B.scope(), document).await?;
        let texts = chunks.into_iter().take(1).map(|chunk| chunk.text).collect();
        let request = EmbedRequest {
            scope: Tenant::A.scope(),
            trace: TraceHandle::new(),
            kind: EmbedKind::Query,
            texts,
        };
        let vector = self.embedder.clone().oneshot(request).await?.into_iter().next();
        let vector = vector.ok_or_else(|| Trouble("its document has no text".to_owned()))?;
        let query =
            VectorQuery { vector: QueryVector::Dense(vector), filter: Filter::default(), limit: HITS };
        let own = self.index.search(&Tenant::B.scope(), &query).await?;
        let other = self.index.search(&Tenant::A.scope(), &query).await?;
        Ok(judge::vector(&own, &other, &Tenant::A.scope(), document))
    }

    async fn is_kept(&self, tenant: Tenant, document: DocumentId) -> Result<bool, Trouble> {
        let mut tx = TenantTx::begin(&self.database, &tenant.scope()).await?;
        let kept = sqlx::query_scalar(KEPT).bind(tenant.id().as_uuid()).bind(document.as_uuid());
        kept.fetch_one(tx.connection()).await.map_err(refused)
    }

    async fn ask(&self, tenant: Tenant, told: &Told, session: Option<SessionId>) -> Result<Heard, Trouble> {
        Ok(ask(&self.asks, tenant, &told.question(), session).await?)
    }
}

fn note(found: &mut Findings, name: CheckName, tenant: Tenant, verdict: Verdict, heard: &Heard) {
    found.note(name, tenant, verdict, Some(heard.ask.as_uuid()));
}

/// A statement that failed.
fn refused(error: sqlx::Error) -> Trouble {
    DatabaseError::from(error).into()
}

// === impl Held ===

impl Held {
    fn own(&mut self, tenant: Tenant) -> &mut Own {
        match tenant {
            Tenant::A => &mut self.a,
            Tenant::B => &mut self.b,
        }
    }
}

// === impl Trouble ===

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(format!("{} ({})", error, error.kind().as_str()))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}
