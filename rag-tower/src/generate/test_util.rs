//! Requests and scripted generators for the tests of this folder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::{Ready, ready};
use tower_service::Service;
use uuid::Uuid;

use crate::answer::{AnswerStream, Event, Finish};
use crate::ask::Question;
use crate::error::Error;
use crate::passage::{ChunkId, DocumentId, Origin, Passage, Passages};
use crate::port::GenerateRequest;
use crate::tenant::TenantId;
use crate::trace::TraceHandle;

pub(super) fn passage(at: usize, title: &str, text: &str) -> Passage {
    let tenant = TenantId::named("t");
    let document = DocumentId::new(Uuid::from_u128(at as u128));
    Passage {
        chunk: ChunkId::of(tenant, document, 0),
        document,
        seq: 0,
        origin: Origin::Tenant { tenant, branch: None },
        title: title.into(),
        file_name: "doc.md".into(),
        text: text.into(),
        score: 1.0,
        found: BTreeMap::new(),
    }
}

pub(super) fn request(question: &str, passages: Vec<Passage>) -> GenerateRequest {
    let scope = crate::test_util::scope("t");
    GenerateRequest {
        passages: Passages::check(&scope, passages).unwrap(),
        scope,
        trace: TraceHandle::new(),
        question: Question::parse(question).unwrap(),
        messages: Arc::from([]),
        sources: Arc::from([]),
        max_output_tokens: None,
    }
}

/// Fails with each of its errors in turn, then answers its name. Counts its calls.
#[derive(Clone)]
pub(super) struct Scripted {
    name: &'static str,
    script: Arc<dyn Fn(usize) -> Result<AnswerStream, Error> + Send + Sync>,
    calls: Arc<AtomicUsize>,
}

// === impl Scripted ===

impl Scripted {
    /// Call `n` (from 0) gets what `script` says.
    pub(super) fn new(
        name: &'static str,
        script: impl Fn(usize) -> Result<AnswerStream, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { name, script: Arc::new(script), calls: Arc::default() }
    }

    pub(super) fn answering(name: &'static str) -> Self {
        Self::new(name, move |_| Ok(said(name)))
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

impl Service<GenerateRequest> for Scripted {
    type Response = AnswerStream;
    type Error = Error;
    type Future = Ready<Result<AnswerStream, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: GenerateRequest) -> Self::Future {
        ready((self.script)(self.calls.fetch_add(1, Ordering::SeqCst)))
    }
}

/// A complete answer of one word.
pub(super) fn said(word: &str) -> AnswerStream {
    AnswerStream::ready(vec![Event::Delta(word.into()), Event::Finished(Finish::Stop)])
}
