//! An ask of a canary in, what it heard out.

use std::sync::Arc;

use rag_tower::passage::DocumentId;
use rag_tower::{
    AbstainReason, Ask, AskId, BoxAskService, Channel, Error, ErrorKind, Event, Finish, Question, Scoped,
    SessionId, Source,
};
use tower::ServiceExt;

use super::Tenant;
use super::document::Told;

/// What came of an ask.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) ask: AskId,
    pub(super) session: Option<SessionId>,
    pub(super) end: End,
    text: String,
    sources: Arc<[Source]>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer, or with the answer that there is none.
    Answered,
    /// The same, without something that is usually asked.
    Degraded,
    /// Something that could not be shown to be its own was kept from it.
    Withheld(AbstainReason),
    Failed(ErrorKind),
}

/// Asks, and waits for all of the answer.
pub(super) async fn ask(
    asks: &BoxAskService,
    tenant: Tenant,
    question: &str,
    session: Option<SessionId>,
) -> Result<Heard, Error> {
    let mut ask = Ask::new(tenant.scope(), Question::parse(question)?).with_channel(Channel::Canary);
    if let Some(session) = session {
        ask = ask.with_session(session);
    }
    let (id, trace) = (ask.id(), ask.trace().clone());
    let answered = async { asks.clone().oneshot(ask).await?.collect().await };
    let answered = answered.await;
    let facts = trace.snapshot();
    let (end, events) = match answered {
        Err(error) => (End::Failed(error.kind()), Vec::new()),
        Ok(events) => match events.last() {
            Some(Event::Finished(Finish::Abstained(reason))) if reason.fails_closed() => {
                (End::Withheld(*reason), events)
            }
            _ if facts.degraded.is_empty() => (End::Answered, events),
            _ => (End::Degraded, events),
        },
    };
    let mut heard =
        Heard { ask: id, session: facts.session, end, text: String::new(), sources: Arc::default() };
    for event in events {
        match event {
            Event::Delta(text) => heard.text.push_str(&text),
            Event::Sources(sources) => heard.sources = sources,
            _ => {}
        }
    }
    Ok(heard)
}

// === impl Heard ===

impl Heard {
    /// True when the secret is in what was said, or in what it is said from.
    pub(super) fn holds(&self, told: &Told) -> bool {
        told.is_in(&self.text) || self.sources.iter().any(|source| told.is_in(&source.snippet))
    }

    pub(super) fn cites(&self, document: DocumentId) -> bool {
        self.sources.iter().any(|source| source.doc_id == document)
    }

    #[cfg(test)]
    pub(super) fn of(end: End, text: &str, sources: Vec<Source>) -> Self {
        Self { ask: AskId::generate(), session: None, end, text: text.to_owned(), sources: sources.into() }
    }
}
