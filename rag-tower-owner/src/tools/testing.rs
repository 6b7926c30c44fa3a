//! What the tools' tests share.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rag_tower::answer::Event;
use rag_tower::memory::{InMemoryStore, MemoryLayer};
use rag_tower::route::{KeywordClassifier, RouteLayer};
use rag_tower::stage::Answers;
use rag_tower::{Answer, Ask, BoxAskService, Error, Finish, Question, Scoped, SessionId, TenantScope};
use serde_json::{Map, Value};
use tower::ServiceExt;
use tower_layer::Layer;

use crate::tenant_data::{InMemoryBook, TenantData};

/// The demo language centre.
pub(super) fn centre() -> TenantData {
    static CENTRE: LazyLock<TenantData> = LazyLock::new(|| demo("language-centre"));
    CENTRE.clone()
}

fn demo(tenant: &str) -> TenantData {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    TenantData::from_file(&demo.join(tenant).join("tenant.toml")).unwrap()
}

/// A book in which tenant `a` is the language centre, tenant `b` the same with other fees, and tenant `docs` has no
/// courses.
pub(super) fn book() -> InMemoryBook {
    let book = InMemoryBook::new();
    book.insert(&scope("a"), centre());
    let mut other = centre();
    for course in &mut other.courses {
        course.fee_vnd = 1_000_000;
    }
    book.insert(&scope("b"), other);
    book.insert(&scope("docs"), demo("docs"));
    book
}

pub(super) fn scope(tenant: &str) -> TenantScope {
    rag_tower::test_util::scope(tenant)
}

/// What came of one question.
pub(super) struct Told {
    pub(super) text: String,
    pub(super) sources: Vec<String>,
    pub(super) finish: Finish,
    pub(super) metadata: Map<String, Value>,
    pub(super) route: Option<Arc<str>>,
    pub(super) facts: rag_tower::trace::Facts,
}

/// Asks a service.
pub(super) async fn tell(
    service: impl Answers<Ask>,
    tenant: &str,
    session: Option<SessionId>,
    question: &str,
) -> Told {
    let mut ask = Ask::new(scope(tenant), Question::parse(question).unwrap());
    if let Some(session) = session {
        ask = ask.with_session(session);
    }
    let trace = ask.trace().clone();
    let id = ask.id();
    let answer = service.oneshot(ask).await.unwrap();
    assert_eq!(answer.id(), id);
    let mut told = Told {
        text: String::new(),
        sources: Vec::new(),
        finish: Finish::Stop,
        metadata: Map::new(),
        route: None,
        facts: trace.snapshot(),
    };
    for event in answer.collect().await.unwrap() {
        match event {
            Event::Sources(sources) => {
                told.sources.extend(sources.iter().map(|source| source.file_name.to_string()))
            }
            Event::Delta(text) => told.text.push_str(&text),
            Event::Finished(finish) => told.finish = finish,
            _ => {}
        }
    }
    told.facts = trace.snapshot();
    told.metadata = told.facts.tool_metadata.clone();
    told.route = told.facts.route.clone();
    told
}

/// The tools behind memory and the demo's own routes, as a server assembles them; what is searched for is answered with
/// `searched`.
pub(super) fn conversation(tools: Vec<(&'static str, BoxAskService)>) -> BoxAskService {
    let searched = tower::service_fn(|ask: Ask| async move {
        Ok::<_, Error>(Answer::text(ask.id(), "searched", Finish::Stop))
    });
    let route =
        tools.into_iter().fold(RouteLayer::new(KeywordClassifier::new(book())), |layer, (name, tool)| {
            layer.with_tool(name, tool)
        });
    let memory = MemoryLayer::new(Arc::new(InMemoryStore::new(100)));
    BoxAskService::new(memory.layer(route.layer(searched)))
}
