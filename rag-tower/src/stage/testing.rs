//! What the stages' tests share.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tower_service::Service;

use crate::answer::{Answer, Event, Finish};
use crate::ask::{Ask, Question};
use crate::error::Error;
use crate::passage::{ChunkId, DocumentId, Found, Origin, Passage, Passages};
use crate::port::{EmbedRequest, Embedder, Embedding};
use crate::retrieve::{Query, Retrieve};
use crate::scoped::Scoped;
use crate::stage::Retrieved;
use crate::tenant::TenantId;
pub(crate) use crate::test_util::{granted, scope};

/// A question.
pub(crate) fn question(text: &str) -> Question {
    Question::parse(text).unwrap()
}

/// An ask of tenant `a`.
pub(crate) fn ask(text: &str) -> Ask {
    Ask::new(scope("a"), question(text))
}

/// A passage of a tenant whose chunk is named by its text.
pub(crate) fn passage(tenant: &str, text: &str, score: f32) -> Passage {
    let tenant = TenantId::named(tenant);
    let document = DocumentId::new(uuid::Uuid::new_v5(&tenant.as_uuid(), text.as_bytes()));
    Passage {
        chunk: ChunkId::of(tenant, document, 0),
        document,
        seq: 0,
        origin: Origin::Tenant { tenant, branch: None },
        title: format!("Title of {}", text.chars().take(12).collect::<String>()).into(),
        file_name: "file.md".into(),
        text: text.into(),
        score,
        found: BTreeMap::new(),
    }
}

/// Passages of tenant `a` for an ask, best first.
pub(crate) fn retrieved(text: &str, passages: &[(&str, f32)]) -> Retrieved {
    let ask = ask(text);
    let passages = passages.iter().map(|(text, score)| passage("a", text, *score)).collect();
    Retrieved { passages: Passages::check(ask.scope(), passages).unwrap(), ask }
}

/// An embedder that knows one vector.
pub(crate) fn embedder(vector: &'static [f32]) -> impl Embedder + std::fmt::Debug {
    tower::service_fn(move |request: EmbedRequest| {
        ready(Ok::<_, Error>(vec![Embedding::new(vector); request.texts.len()]))
    })
}

/// A source that finds these passages for everybody.
pub(crate) fn source<V: Send + 'static>(passages: Vec<Passage>) -> impl Retrieve<V> {
    tower::service_fn(move |_: Query<V>| ready(Ok::<_, Error>(passages.clone())))
}

/// A source that fails.
pub(crate) fn down<V: Send + 'static>(error: fn() -> Error) -> impl Retrieve<V> {
    tower::service_fn(move |_: Query<V>| ready(Err::<Vec<Passage>, _>(error())))
}

/// How one source found something.
pub(crate) fn found(source: &str, rank: u32, score: f32) -> BTreeMap<Arc<str>, Found> {
    BTreeMap::from([(source.into(), Found { rank, score })])
}

/// The text of collected events.
pub(crate) fn text(events: &[Event]) -> String {
    events
        .iter()
        .filter_map(|event| if let Event::Delta(text) = event { Some(&**text) } else { None })
        .collect()
}

/// A leaf that keeps its requests and answers each with the same events.
#[derive(Debug)]
pub(crate) struct Leaf<Req> {
    seen: Arc<Mutex<Vec<Req>>>,
    events: Arc<[Event]>,
}

impl<Req> Leaf<Req> {
    pub(crate) fn answering(text: &str) -> Self {
        Self::with_events(vec![Event::Delta(text.into()), Event::Finished(Finish::Stop)])
    }

    pub(crate) fn with_events(events: Vec<Event>) -> Self {
        Self { seen: Arc::default(), events: events.into() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn requests(&self) -> Vec<Req>
    where
        Req: Clone,
    {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn only_request(&self) -> Req {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "one request");
        seen.remove(0)
    }
}

impl<Req> Clone for Leaf<Req> {
    fn clone(&self) -> Self {
        Self { seen: Arc::clone(&self.seen), events: Arc::clone(&self.events) }
    }
}

impl<Req: Scoped> Service<Req> for Leaf<Req> {
    type Response = Answer;
    type Error = Error;
    type Future = Ready<Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.seen.lock().unwrap().push(request);
        ready(Ok(Answer::ready(crate::ask::AskId::generate(), self.events.to_vec())))
    }
}
