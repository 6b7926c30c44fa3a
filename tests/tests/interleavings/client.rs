//! What one client does and what it must see: documents and answers of its own tenant, and nothing of another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use rag_tower::filter::Condition;
use rag_tower::ingest::Ingest;
use rag_tower::passage::DocumentId;
use rag_tower::port::{ChunkStore, DocumentStore, MemoryStore, TermStats, VectorStore};
use rag_tower::{
    Ask, Error, ErrorKind, Event, Filter, Question, Scoped, SessionId, TenantId, TenantScope, TraceHandle,
};
use tower::ServiceExt;
use uuid::Uuid;

use super::chance::{Chance, Task, give_way};
use super::words::{is_of, word, words};
use super::world::World;

/// Tenants of an interleaving.
const TENANTS: u64 = 3;
/// Things that each client does.
const STEPS: usize = 7;
/// Documents that a tenant may have.
const DOCUMENTS: usize = 3;
/// What everybody asks: no question is one tenant's own.
const QUESTIONS: [&str; 2] = ["What is the fee of the evening course?", "And the fee of the course?"];

/// The ids that clients of an interleaving come to know, each with its owner.
#[derive(Default)]
struct Known {
    sessions: Mutex<Vec<(u64, SessionId)>>,
    documents: Mutex<Vec<(u64, DocumentId)>>,
}

/// One client of one tenant.
struct Client<'w, D, V, M> {
    world: &'w World<D, V, M>,
    known: Arc<Known>,
    seed: u64,
    chance: Chance,
    owner: u64,
    scope: TenantScope,
    /// The tenant's documents, when this is the client that takes them in: its number to the word that it holds.
    documents: Option<BTreeMap<usize, String>>,
    session: Option<SessionId>,
    made: u64,
}

/// What an answer held.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    words: BTreeSet<String>,
    documents: BTreeSet<DocumentId>,
}

/// The tasks of an interleaving: each tenant's clients, and at last an empty house.
pub fn tasks<'w, D, V, M>(world: &'w World<D, V, M>, seed: u64) -> Vec<Task<'w>>
where
    D: DocumentStore + ChunkStore + TermStats,
    V: VectorStore,
    M: MemoryStore,
{
    let known = Arc::new(Known::default());
    let clients = (0..2 * TENANTS).map(|part| {
        let owner = seed * TENANTS + part / 2;
        let tenant = TenantId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, owner.to_string().as_bytes()));
        Client {
            world,
            known: Arc::clone(&known),
            seed,
            chance: Chance::new(seed, part + 1),
            owner,
            scope: rag_tower::test_util::granted(tenant),
            documents: (part % 2 == 0).then(BTreeMap::new),
            session: None,
            made: part % 2,
        }
    });
    clients.map(|client| Box::pin(client.run()) as Task<'w>).collect()
}

// === impl Client ===

impl<D, V, M> Client<'_, D, V, M>
where
    D: DocumentStore + ChunkStore + TermStats,
    V: VectorStore,
    M: MemoryStore,
{
    async fn run(mut self) {
        for _ in 0..STEPS {
            give_way().await;
            match self.chance.below(12) {
                0..3 => self.put().await,
                3 => self.remove().await,
                4 | 5 => drop(self.ask().await),
                6 => self.ask_twice().await,
                7 | 8 => self.talk_on().await,
                9 => self.try_another_session().await,
                10 => self.try_another_document().await,
                _ => self.odds_and_ends().await,
            }
        }
        self.leave().await;
    }

    /// Takes a document in, or another version of one. The client that only asks asks.
    async fn put(&mut self) {
        if self.documents.is_none() {
            drop(self.ask().await);
            return;
        }
        let (n, word) = (self.chance.below(DOCUMENTS), self.word());
        let text = format!("# Fees\n\nThe fee of the evening course is {word}.\n");
        let taken = self.world.ingestor.take_all(vec![Ingest::new(self.scope.clone(), file(n), text)]).await;
        for done in taken {
            self.done("taking in", done);
        }
        self.world.cache.purge(&self.scope);
        self.known.documents.lock().unwrap().push((self.owner, self.document(n)));
        if let Some(documents) = &mut self.documents {
            documents.insert(n, word);
        }
    }

    async fn remove(&mut self) {
        let n = self.chance.below(DOCUMENTS);
        let Some(documents) = &mut self.documents else { return };
        let had = documents.remove(&n).is_some();
        let removed = self.world.ingestor.remove(&self.scope, self.document(n)).await;
        let removed = self.done("removing", removed);
        self.check(removed == had, || format!("removed {removed}, had {had}"));
        self.world.cache.purge_document(&self.scope, self.document(n));
    }

    /// Asks without a conversation: the answer holds the tenant's documents, all of them as they are now.
    async fn ask(&mut self) -> Heard {
        let question = QUESTIONS[self.chance.below(QUESTIONS.len())];
        let ask = Ask::new(self.scope.clone(), Question::parse(question).unwrap());
        let (heard, trace) = self.answer(ask).await;
        self.remember(&trace);
        if let Some(documents) = &self.documents {
            let right = Heard {
                words: documents.values().cloned().collect(),
                documents: documents.keys().map(|n| self.document(*n)).collect(),
            };
            self.check(heard == right, || format!("heard {heard:?} and has {right:?}"));
        }
        heard
    }

    async fn ask_twice(&mut self) {
        let (first, second) = (self.ask().await, self.ask().await);
        // Only who takes documents in knows that nothing came between.
        let same = self.documents.is_none() || first == second;
        self.check(same, || format!("{first:?}, and then {second:?}"));
    }

    /// Continues its conversation: what was said before is its own too.
    async fn talk_on(&mut self) {
        let Some(session) = self.session else { return drop(self.ask().await) };
        let question = Question::parse(QUESTIONS[1]).unwrap();
        let (heard, _) = self.answer(Ask::new(self.scope.clone(), question).with_session(session)).await;
        self.world.seen.note(&self.world.seen.continued, 1);
        self.check(heard.words.iter().all(|word| is_of(self.owner, word)), || format!("{heard:?}"));
        let history = self.world.memory.load(&self.scope, session).await;
        let history = self.done("loading", history);
        self.own(&format!("{history:?}"));
    }

    /// Another tenant's session is as unknown as one that nobody has.
    async fn try_another_session(&mut self) {
        let foreign = self.foreign(&self.known.sessions);
        let Some(foreign) = self.chance.one(&foreign).copied() else { return };
        let mut said = Vec::new();
        for session in [foreign, SessionId::generate()] {
            let question = Question::parse(QUESTIONS[0]).unwrap();
            let ask = Ask::new(self.scope.clone(), question).with_session(session);
            match self.world.stack.clone().oneshot(ask).await {
                Ok(_) => self.check(false, || format!("the session {session:?} was opened")),
                Err(error) => said.push((error.kind(), error.to_string())),
            }
        }
        let alike = said[0] == said[1] && said[0].0 == ErrorKind::NotFound;
        self.check(alike, || format!("{said:?}"));
        let loaded = self.world.memory.load(&self.scope, foreign).await;
        let loaded = self.done("loading", loaded);
        self.check(loaded.is_none(), || format!("{loaded:?}"));
        self.world.seen.note(&self.world.seen.refused, 1);
    }

    /// Another tenant's document can neither be asked about nor be removed.
    async fn try_another_document(&mut self) {
        let foreign = self.foreign(&self.known.documents);
        let Some(foreign) = self.chance.one(&foreign).copied() else { return };
        let filter = Filter::default().and(Condition::Document(vec![foreign])).unwrap();
        let ask = Ask::new(self.scope.clone(), Question::parse(QUESTIONS[0]).unwrap()).with_filter(filter);
        let (heard, _) = self.answer(ask).await;
        let nothing = heard.words.is_empty() && heard.documents.is_empty();
        self.check(nothing, || format!("{heard:?}"));
        let removed = self.world.ingestor.remove(&self.scope, foreign).await;
        let removed = self.done("removing", removed);
        self.check(!removed, || format!("{foreign:?} was removed"));
        self.world.seen.note(&self.world.seen.refused, 1);
    }

    async fn odds_and_ends(&mut self) {
        match self.chance.below(3) {
            0 => self.world.cache.purge(&self.scope),
            1 => self.go_away().await,
            _ => self.write_beside().await,
        }
    }

    /// Leaves in the middle of an answer.
    async fn go_away(&mut self) {
        let ask = Ask::new(self.scope.clone(), Question::parse(QUESTIONS[0]).unwrap());
        let answering = self.world.stack.clone().oneshot(ask).await;
        let mut events = self.done("asking", answering).into_stream();
        if let Some(event) = events.next().await {
            let event = self.done("the first event", event);
            self.own(&format!("{event:?}"));
        }
    }

    async fn write_beside(&mut self) {
        let Some(beside) = &self.world.beside else { return };
        let word = self.word();
        let read = beside(self.scope.clone(), word.clone()).await;
        self.check(read.iter().any(|text| text.contains(&word)), || format!("{word} is not in {read:?}"));
        self.world.seen.note(&self.world.seen.beside, read.len());
        for text in read {
            self.own(&text);
        }
    }

    /// Takes everything with it, and leaves what is another's.
    async fn leave(mut self) {
        let Some(documents) = self.documents.take() else { return };
        let count = self.world.vectors.count(&self.scope).await;
        let count = self.done("counting", count);
        self.check(count == documents.len() as u64, || format!("{count} points of {documents:?}"));
        for n in documents.keys() {
            let removed = self.world.ingestor.remove(&self.scope, self.document(*n)).await;
            let removed = self.done("removing", removed);
            self.check(removed, || format!("{} was gone", file(*n)));
        }
        let count = self.world.vectors.count(&self.scope).await;
        let count = self.done("counting", count);
        self.check(count == 0, || format!("{count} points of nothing"));
    }

    /// All of an answer; each word of it is the tenant's own.
    async fn answer(&self, ask: Ask) -> (Heard, TraceHandle) {
        let trace = ask.trace().clone();
        let answering = self.world.stack.clone().oneshot(ask).await;
        let mut events = self.done("asking", answering).into_stream();
        let mut heard = Heard { words: BTreeSet::new(), documents: BTreeSet::new() };
        while let Some(event) = events.next().await {
            match self.done("an event", event) {
                Event::Delta(text) => heard.words.extend(self.own(&text)),
                Event::Sources(sources) => {
                    for source in sources.iter() {
                        self.own(&source.snippet);
                        heard.documents.insert(source.doc_id);
                    }
                }
                _ => {}
            }
        }
        let foreign = self.foreign(&self.known.documents);
        let stranger = heard.documents.iter().find(|document| foreign.contains(document));
        self.check(stranger.is_none(), || format!("a source is another tenant's {stranger:?}"));
        let facts = trace.snapshot();
        let cached = facts.tool_metadata.get("cache").is_some();
        let seen = &self.world.seen;
        seen.note(&seen.answers, 1);
        seen.note(&seen.cached, usize::from(cached));
        self.check(facts.degraded.is_empty(), || format!("degraded: {:?}", facts.degraded));
        (heard, trace)
    }

    fn remember(&mut self, trace: &TraceHandle) {
        let session = trace.snapshot().session;
        self.session = session.or(self.session);
        self.known.sessions.lock().unwrap().extend(session.map(|session| (self.owner, session)));
    }

    /// The marked words of a text, which must be the tenant's own.
    fn own(&self, text: &str) -> BTreeSet<String> {
        let words = words(text);
        self.check(words.iter().all(|word| is_of(self.owner, word)), || format!("FOREIGN WORDS: {text}"));
        self.world.seen.note(&self.world.seen.words, words.len());
        words
    }

    fn foreign<T: Copy>(&self, known: &Mutex<Vec<(u64, T)>>) -> Vec<T> {
        known.lock().unwrap().iter().filter(|(owner, _)| *owner != self.owner).map(|(_, id)| *id).collect()
    }

    fn word(&mut self) -> String {
        self.made += 2;
        word(self.owner, self.made)
    }

    fn document(&self, n: usize) -> DocumentId {
        DocumentId::named(self.scope.tenant(), &file(n))
    }

    fn done<T>(&self, what: &str, done: Result<T, Error>) -> T {
        done.unwrap_or_else(|error| {
            panic!("RAG_TOWER_SEED={} RAG_TOWER_INTERLEAVINGS=1: {what}: {error:?}", self.seed)
        })
    }

    fn check(&self, right: bool, wrong: impl FnOnce() -> String) {
        assert!(
            right,
            "RAG_TOWER_SEED={} RAG_TOWER_INTERLEAVINGS=1: tenant {}: {}",
            self.seed,
            self.owner,
            wrong()
        );
    }
}

fn file(n: usize) -> String {
    format!("fees-{n}.md")
}
