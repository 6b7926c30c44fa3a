//! [`Ask`] in, [`Ask`] out for the search pipeline; or the answer of a tool, the canned one, or a hand-off.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use super::{Classifier, ClassifyRequest, Decision};
use crate::answer::{Answer, Finish};
use crate::ask::Ask;
use crate::error::{Error, Stage};
use crate::pipeline::BoxAskService;
use crate::scoped::Scoped;
use crate::stage::{Answers, ResponseFuture, take_ready};
use crate::wording::Wordings;

/// Sends an ask its way, as a [`Classifier`] decides.
///
/// The service inside is the search pipeline; tools are services of the same shape, by name. A tool that asked something
/// back on the session's last turn ([`Pending`](crate::memory::Pending)) gets this turn without a decision; one that
/// yields loses it to another tool, or a person, that the classifier decides for. When the classifier fails the ask is searched for, degraded (`classifier`).
///
/// - **Order:** inside memory, which knows the last turn; outside the first stage.
/// - **Readiness:** that of the service inside. When the ask goes another way, what was reserved there is given back
///   before anything else happens; a tool is asked for its own readiness then.
/// - **Cancellation:** dropping the future drops the classifier's, the tool's or the pipeline's.
/// - **Panics:** never of its own.
pub struct RouteLayer<C> {
    classifier: C,
    ways: Ways,
}

#[derive(Clone)]
struct Ways {
    tools: Arc<HashMap<Arc<str>, BoxAskService>>,
    wordings: Arc<Wordings>,
    search: Arc<str>,
}

/// The service of [`RouteLayer`].
pub struct Router<S, C> {
    inner: S,
    classifier: C,
    ways: Ways,
}

/// The route of canned answers.
const OUT_OF_DOMAIN: &str = "out_of_domain";
/// The route of hand-offs that no tool answers.
const HANDOFF: &str = "handoff";

// === impl RouteLayer ===

impl<C> RouteLayer<C> {
    /// A layer without tools.
    pub fn new(classifier: C) -> Self {
        let ways = Ways { tools: Arc::default(), wordings: Arc::default(), search: "search".into() };
        Self { classifier, ways }
    }

    /// One more tool.
    #[must_use]
    pub fn with_tool(mut self, name: impl Into<Arc<str>>, tool: impl Answers<Ask>) -> Self {
        Arc::make_mut(&mut self.ways.tools).insert(name.into(), BoxAskService::new(tool));
        self
    }

    /// What the canned answers say. Default: Vietnamese to a Vietnamese question, English to any other.
    #[must_use]
    pub fn with_wordings(mut self, wordings: Wordings) -> Self {
        self.ways.wordings = Arc::new(wordings);
        self
    }

    /// The route's name when the classifier fails and the ask is searched for. Default: `search`.
    #[must_use]
    pub fn with_search_intent(mut self, intent: impl Into<Arc<str>>) -> Self {
        self.ways.search = intent.into();
        self
    }
}

impl<C: Clone> Clone for RouteLayer<C> {
    fn clone(&self) -> Self {
        Self { classifier: self.classifier.clone(), ways: self.ways.clone() }
    }
}

impl<S, C: Clone> Layer<S> for RouteLayer<C> {
    type Service = Router<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Router { inner, classifier: self.classifier.clone(), ways: self.ways.clone() }
    }
}

impl<C> fmt::Debug for RouteLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteLayer").field("ways", &self.ways).finish_non_exhaustive()
    }
}

// === impl Ways ===

impl Ways {
    /// Where a tool's pending question, or else the classifier, sends an ask.
    async fn decide<C: Classifier>(&self, classifier: C, ask: &Ask) -> Result<Decision, Error> {
        let turn = ask.history().and_then(|history| history.last());
        let waits = turn.and_then(|turn| {
            let pending = turn.pending.as_ref().filter(|pending| self.tools.contains_key(&pending.tool))?;
            let intent = Arc::clone(turn.route.as_ref().unwrap_or(&pending.tool));
            Some((Decision::Tool { name: Arc::clone(&pending.tool), intent }, pending.yields))
        });
        match waits {
            None => self.classify(classifier, ask).await,
            Some((waiting, false)) => Ok(waiting),
            Some((waiting, true)) => match self.classify(classifier, ask).await? {
                // what is asked of another is no answer to this one
                other @ (Decision::Tool { .. } | Decision::Handoff { .. }) => Ok(other),
                Decision::Search { .. } | Decision::OutOfDomain => Ok(waiting),
            },
        }
    }

    async fn classify<C: Classifier>(&self, classifier: C, ask: &Ask) -> Result<Decision, Error> {
        let timer = ask.trace().time(Stage::Route);
        let decided = classifier.oneshot(ClassifyRequest::of(ask)).await;
        drop(timer);
        match decided {
            Err(error) if !error.kind().fails_closed() => {
                tracing::warn!(kind = %error.kind(), "the classifier failed; the ask is searched for");
                ask.trace().degrade("classifier");
                Ok(Decision::Search { intent: Arc::clone(&self.search) })
            }
            decided => decided,
        }
    }

    async fn tool(&self, name: &str, ask: Ask) -> Result<Answer, Error> {
        let Some(tool) = self.tools.get(name) else {
            return Err(Error::internal(Stage::Route, format!("no tool is named {name:?}")));
        };
        let trace = ask.trace().clone();
        trace.with(|facts| facts.tool_answered = true);
        let timer = trace.time(Stage::Tool);
        Ok(tool.clone().oneshot(ask).await?.hold(timer))
    }
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").field("tools", &self.tools.keys()).finish_non_exhaustive()
    }
}

// === impl Router ===

impl<S: Clone, C: Clone> Clone for Router<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), classifier: self.classifier.clone(), ways: self.ways.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Router<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("inner", &self.inner).field("ways", &self.ways).finish_non_exhaustive()
    }
}

impl<S: Answers<Ask>, C: Classifier> Service<Ask> for Router<S, C> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let (classifier, ways) = (self.classifier.clone(), self.ways.clone());
        ResponseFuture::new(async move {
            let decision = ways.decide(classifier, &ask).await?;
            if let Decision::Search { intent } = decision {
                ask.trace().set_route(intent);
                return inner.call(ask).await;
            }
            // What is ready and will not be called holds a reservation that somebody else waits for.
            drop(inner);
            let said = ways.wordings.of(ask.question().as_str());
            match decision {
                Decision::Tool { name, intent } => {
                    ask.trace().set_route(intent);
                    ways.tool(&name, ask).await
                }
                Decision::Handoff { reason } => {
                    ask.trace().set_route(HANDOFF);
                    Ok(Answer::text(ask.id(), Arc::clone(&said.handoff), Finish::Handoff(reason)))
                }
                Decision::OutOfDomain | Decision::Search { .. } => {
                    ask.trace().set_route(OUT_OF_DOMAIN);
                    Ok(Answer::text(ask.id(), Arc::clone(&said.out_of_domain), Finish::OutOfDomain))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
