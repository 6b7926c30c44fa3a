//! Deciding the way from a tenant's keywords and example questions alone.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::intent::{Guess, IntentModel, Labelled};
use super::{ClassifyRequest, Decision};
use crate::error::Error;
use crate::eval::routing;
use crate::tenant::TenantScope;
use crate::words::words;

/// A route, known by its keywords and by questions that belong to it.
#[derive(Clone, Debug)]
pub struct Route {
    intent: Arc<str>,
    decision: Decision,
    keywords: Vec<Vec<String>>,
    examples: Vec<String>,
}

/// Where a tenant's routes come from. It is asked on every question: answer from memory.
pub trait RouteBook: Send + Sync + 'static {
    /// The tenant's routes.
    fn routes(&self, scope: &TenantScope) -> Arc<Routes>;
}

/// A tenant's routes, and what was learnt from their examples.
///
/// A question's score for a route is `1 - (1 - c) · (1 - k)`:
///
/// - `c` is the confidence of an [`IntentModel`] that has learnt the examples of all routes, those of a route that is
///   [out of domain](Route::out_of_domain) as examples out of scope. It is `1 / (1 + e^-(4(s - t) + l))` for the model's
///   score `s`, with `l` such that the model's own threshold `t` has the confidence 0.35.
/// - `k` is `1 - 0.5^w`, where `w` is the number of words of the route's keywords that the question holds.
///
/// The model's threshold is found by cross-validation on the examples: the highest that turns away at most one in a
/// hundred of those that are classified rightly without having been learnt. With fewer than 500 examples it is 0.25, or -0.25
/// when none is out of scope.
///
/// The best route at or above the threshold wins, the earlier one of equals. A question of few words in a conversation
/// stays on the last turn's route ("and for two?") unless another scores 0.5, as one keyword does. Below the threshold, a
/// question that comes [near](Self::with_near) takes the way that is set for that; any other takes the fallback. Case and
/// diacritics do not matter.
#[derive(Clone, Debug)]
pub struct Routes {
    routes: Vec<Prepared>,
    model: IntentModel,
    middle: f32,
    threshold: f32,
    fallback: Decision,
    near: Option<(f32, Decision)>,
}

#[derive(Clone, Debug)]
struct Prepared {
    intent: Arc<str>,
    decision: Decision,
    keywords: Vec<Vec<String>>,
    /// A few questions that belong to it, to show what it is for.
    shown: Vec<String>,
}

/// What [`Routes`] make of a question.
pub(super) struct Judgement {
    pub(super) decision: Decision,
    /// True when keywords or a clear margin decided.
    pub(super) sure: bool,
    /// The score of each route, in their order.
    pub(super) scores: Vec<f32>,
}

/// A [`Classifier`](super::Classifier) over a [`RouteBook`]: nothing is asked elsewhere, it is always ready, and it gives
/// the same answer every time.
#[derive(Debug)]
pub struct KeywordClassifier<B> {
    book: Arc<B>,
}

/// The longest question that is taken for the continuation of the one before, in words.
const FOLLOW_UP_WORDS: usize = 6;
/// The score that changes the subject of a conversation in a question that short: that of one keyword.
const CHANGE: f32 = 0.5;
/// The score that a route needs, unless it is set.
const THRESHOLD: f32 = 0.35;
/// How fast confidence rises with the model's score.
const STEEPNESS: f32 = 4.0;
/// The share of questions that calibration may turn away though they were classified rightly.
const LOSS: f64 = 0.01;
/// The threshold of a model that was learnt from too few examples to calibrate, with examples out of scope and without:
/// a question in scope scores about 0.5 more where there is a machine for what is out of scope.
const UNCALIBRATED: (f32, f32) = (0.25, -0.25);
/// The fewest examples to calibrate with: of fewer, one in a hundred says little about where the threshold lies.
const ENOUGH: usize = 500;
/// The parts of the cross-validation.
const PARTS: usize = 5;
/// How much the best score must be above the next for the question to be clear without keywords.
const CLEAR: f32 = 0.25;
/// The examples that show what a route is for, and the most characters of each.
const SHOWN: (usize, usize) = (5, 120);

// === impl Route ===

impl Route {
    /// A route to the search pipeline.
    #[must_use]
    pub fn search(intent: impl Into<Arc<str>>) -> Self {
        let intent = intent.into();
        Self::to(Arc::clone(&intent), Decision::Search { intent })
    }

    /// A route to a tool.
    #[must_use]
    pub fn tool(intent: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        let intent = intent.into();
        Self::to(Arc::clone(&intent), Decision::Tool { name: name.into(), intent })
    }

    /// A route to the canned out-of-domain answer, for questions that are known not to belong here.
    #[must_use]
    pub fn out_of_domain() -> Self {
        Self::to("out_of_domain", Decision::OutOfDomain)
    }

    /// A route to a person.
    #[must_use]
    pub fn handoff(reason: impl Into<Arc<str>>) -> Self {
        Self::to("handoff", Decision::Handoff { reason: reason.into() })
    }

    fn to(intent: impl Into<Arc<str>>, decision: Decision) -> Self {
        Self { intent: intent.into(), decision, keywords: Vec::new(), examples: Vec::new() }
    }

    /// Words, or words in a row, that speak for this route.
    #[must_use]
    pub fn with_keywords<'a>(mut self, keywords: impl IntoIterator<Item = &'a str>) -> Self {
        self.keywords.extend(keywords.into_iter().map(words).filter(|keyword| !keyword.is_empty()));
        self
    }

    /// Questions that belong to this route.
    #[must_use]
    pub fn with_examples<'a>(mut self, examples: impl IntoIterator<Item = &'a str>) -> Self {
        let examples = examples.into_iter().map(str::trim).filter(|example| !example.is_empty());
        self.examples.extend(examples.map(str::to_owned));
        self
    }

    /// Some of the examples from all along the list, which often goes by subject or language.
    fn shown(&self) -> Vec<String> {
        let (most, chars) = SHOWN;
        let examples = &self.examples;
        let spread = (0..most.min(examples.len())).map(|at| at * examples.len() / most.min(examples.len()));
        spread.filter_map(|at| examples.get(at)).map(|text| text.chars().take(chars).collect()).collect()
    }
}

// === impl Routes ===

impl Routes {
    /// Routes, in order of preference among equals. The threshold is 0.35, the fallback out of domain.
    ///
    /// This learns, which is work for the processor alone: milliseconds for tens of examples, minutes for tens of
    /// thousands. From async code call it on a blocking thread.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        let examples: Vec<Labelled<'_>> = (0..)
            .zip(&routes)
            .flat_map(|(at, route)| {
                let label = (route.decision != Decision::OutOfDomain).then_some(at);
                route.examples.iter().map(move |text| Labelled { text, label })
            })
            .collect();
        let model = IntentModel::learn(&examples);
        let middle = calibrate(&examples);
        let prepare = |route: Route| {
            let shown = route.shown();
            let Route { intent, decision, keywords, .. } = route;
            Prepared { intent, decision, keywords, shown }
        };
        Self {
            routes: routes.into_iter().map(prepare).collect(),
            model,
            middle,
            threshold: THRESHOLD,
            fallback: Decision::OutOfDomain,
            near: None,
        }
    }

    /// No routes: every question is searched for.
    #[must_use]
    pub fn search_everything(intent: impl Into<Arc<str>>) -> Self {
        Self::new(Vec::new()).with_fallback(Decision::Search { intent: intent.into() })
    }

    /// The score that a route needs, 0 to 1. Default: 0.35.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// What happens to a question that no route reaches the threshold for. Default: [`Decision::OutOfDomain`].
    #[must_use]
    pub fn with_fallback(mut self, fallback: Decision) -> Self {
        self.fallback = fallback;
        self
    }

    /// What happens to a question whose best score is below the threshold but at least this, unless the route that it comes
    /// nearest to is out of domain: a question that is about this tenant, though not clearly of one kind. Default: none.
    #[must_use]
    pub fn with_near(mut self, score: f32, decision: Decision) -> Self {
        self.near = Some((score, decision));
        self
    }

    /// The way of a question, given the route of the turn before.
    #[must_use]
    pub fn decide(&self, question: &str, last_route: Option<&str>) -> Decision {
        self.judge(question, last_route).decision
    }

    /// As [`decide`](Self::decide), with how clear it was: a question is clear when it has no words, when there is nothing
    /// to choose from, when the best route scores what a keyword does and is the only one with a keyword in it, or when that
    /// route is ahead of the next by a quarter.
    pub(super) fn judge(&self, question: &str, last_route: Option<&str>) -> Judgement {
        let asked = words(question);
        let (guesses, outside) = self.model.scores_and_outside(question);
        let held: Vec<i32> = self.routes.iter().map(|route| route.held(&asked)).collect();
        let confidence_in = |label: u32, route: &Prepared| {
            if route.decision == Decision::OutOfDomain {
                return outside.map_or(0.0, |value| confidence(value, 0.0));
            }
            let guess = guesses.iter().find(|guess: &&Guess| guess.label == label);
            guess.map_or(0.0, |guess| confidence(guess.score, self.middle))
        };
        let scores: Vec<f32> = (0..)
            .zip(&self.routes)
            .zip(&held)
            .map(|((label, route), held)| 1.0 - (1.0 - confidence_in(label, route)) * 0.5_f32.powi(*held))
            .collect();
        // the earlier one of equals
        let best = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let change = self.threshold.max(CHANGE);
        let sure = asked.is_empty()
            || best.is_none_or(|best| {
                let mut others = (0..scores.len()).filter(|at| *at != best);
                let alone = held[best] > 0 && others.clone().all(|at| held[at] == 0);
                let clear = others.all(|at| scores[best] - scores[at] >= CLEAR);
                scores[best] >= change && (alone || clear)
            });

        let follow_up = || {
            let last = last_route.filter(|_| asked.len() <= FOLLOW_UP_WORDS)?;
            let route = self.routes.iter().find(|route| &*route.intent == last)?;
            matches!(route.decision, Decision::Search { .. } | Decision::Tool { .. }).then_some(route)
        };
        let best = best.map(|best| (scores[best], &self.routes[best]));
        let scoring = |enough: f32| best.filter(|(score, _)| *score >= enough).map(|(_, route)| route);
        let near = || {
            let (score, _) = best.filter(|(_, route)| route.decision != Decision::OutOfDomain)?;
            self.near.as_ref().filter(|(enough, _)| score >= *enough).map(|(_, decision)| decision)
        };
        let route = scoring(change).or_else(follow_up).or_else(|| scoring(self.threshold));
        let decision = route.map(|route| &route.decision).or_else(near).unwrap_or(&self.fallback).clone();
        Judgement { decision, sure, scores }
    }

    /// The `most` routes with the highest of these scores, in their own order: name, decision, and questions that show what
    /// it is for. Routes to a person are told apart by their reason.
    pub(super) fn best(&self, scores: &[f32], most: usize) -> Vec<(&str, &Decision, &[String])> {
        let mut places: Vec<usize> = (0..self.routes.len().min(scores.len())).collect();
        places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        places.truncate(most);
        places.sort_unstable();
        let view = |at: usize| {
            let Prepared { intent, decision, shown, .. } = &self.routes[at];
            let name = if let Decision::Handoff { reason } = decision { reason } else { intent };
            (&**name, decision, shown.as_slice())
        };
        places.into_iter().map(view).collect()
    }
}

impl<F: Fn(&TenantScope) -> Arc<Routes> + Send + Sync + 'static> RouteBook for F {
    fn routes(&self, scope: &TenantScope) -> Arc<Routes> {
        self(scope)
    }
}

/// The model's score `middle` as the confidence [`THRESHOLD`], others by how far they are from it.
fn confidence(score: f32, middle: f32) -> f32 {
    let odds = THRESHOLD / (1.0 - THRESHOLD);
    1.0 / (1.0 + (-STEEPNESS * (score - middle)).exp() / odds)
}

/// The threshold of a model that has learnt the examples.
fn calibrate(examples: &[Labelled<'_>]) -> f32 {
    if examples.len() < ENOUGH {
        let (with, without) = UNCALIBRATED;
        return if examples.iter().any(|example| example.label.is_none()) { with } else { without };
    }
    let outcomes: Vec<_> = (0..PARTS).flat_map(|part| routing::held_out(examples, part, PARTS)).collect();
    routing::choose_threshold(&outcomes, LOSS)
}

// === impl Prepared ===

impl Prepared {
    /// How many words of the keywords are in a question.
    fn held(&self, asked: &[String]) -> i32 {
        let held: usize = self
            .keywords
            .iter()
            .filter(|keyword| asked.windows(keyword.len()).any(|window| window == keyword.as_slice()))
            .map(Vec::len)
            .sum();
        held.min(64) as i32
    }
}

// === impl KeywordClassifier ===

impl<B: RouteBook> KeywordClassifier<B> {
    /// A classifier over a book.
    pub fn new(book: B) -> Self {
        Self { book: Arc::new(book) }
    }

    /// The tenant's routes.
    pub(super) fn routes(&self, scope: &TenantScope) -> Arc<Routes> {
        self.book.routes(scope)
    }
}

impl KeywordClassifier<fn(&TenantScope) -> Arc<Routes>> {
    /// A classifier with the same routes for every tenant.
    pub fn fixed(routes: Routes) -> KeywordClassifier<impl RouteBook> {
        let routes = Arc::new(routes);
        KeywordClassifier::new(move |_: &TenantScope| Arc::clone(&routes))
    }
}

impl<B> Clone for KeywordClassifier<B> {
    fn clone(&self) -> Self {
        Self { book: Arc::clone(&self.book) }
    }
}

impl<B: RouteBook> Service<ClassifyRequest> for KeywordClassifier<B> {
    type Response = Decision;
    type Error = Error;
    type Future = Ready<Result<Decision, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ClassifyRequest) -> Self::Future {
        let routes = self.routes(&request.scope);
        let last = request.history.as_ref().and_then(|history| history.last()?.route.as_deref());
        ready(Ok(routes.decide(request.question.as_str(), last)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::*;
    use crate::stage::testing;
    use crate::tenant::TenantId;

    fn centre() -> Routes {
        Routes::new(vec![
            Route::tool("tuition_calculator", "tuition_calculator")
                .with_keywords(["tính học phí", "tổng học phí", "tổng cộng", "total fee", "giảm giá"])
                .with_examples(["Tính học phí IELTS cho hai người", "How much in total for two courses?"]),
            Route::tool("comparison", "comparison")
                .with_keywords(["so sánh", "khác nhau", "compare", "difference"])
                .with_examples([
                    "So sánh khóa IELTS và TOEIC",
                    "What is the difference between IELTS and TOEIC?",
                ]),
            Route::tool("create_ticket", "create_ticket")
                .with_keywords(["tư vấn viên", "gọi lại", "call me", "nhân viên"])
                .with_examples(["Cho tôi gặp nhân viên tư vấn", "Please call me back"]),
            Route::search("course_search")
                .with_keywords(["học phí", "khóa học", "course", "fee", "ielts", "lịch khai giảng"])
                .with_examples(["Học phí khóa IELTS bao nhiêu?", "When does the course begin?"]),
        ])
    }

    fn intent(decision: &Decision) -> &str {
        match decision {
            Decision::Search { intent } | Decision::Tool { intent, .. } => intent,
            Decision::OutOfDomain => "out_of_domain",
            Decision::Handoff { .. } => "handoff",
        }
    }

    #[test]
    fn questions_find_their_route_with_or_without_diacritics() {
        let routes = centre();
        for (question, expected) in [
            ("Học phí khóa IELTS là bao nhiêu?", "course_search"),
            ("hoc phi ielts", "course_search"),
            ("When does the IELTS course start?", "course_search"),
            ("tinh hoc phi ielts cho 3 nguoi", "tuition_calculator"),
            ("Tổng cộng bao nhiêu nếu học 2 khóa?", "tuition_calculator"),
            ("so sánh IELTS với TOEIC giúp mình", "comparison"),
            ("nhờ nhân viên gọi lại cho tôi", "create_ticket"),
            ("Who won the world cup in 2018?", "out_of_domain"),
            ("thời tiết hôm nay thế nào", "out_of_domain"),
            ("???", "out_of_domain"),
        ] {
            assert_eq!(intent(&routes.decide(question, None)), expected, "{question}");
        }
    }

    #[test]
    fn a_short_question_stays_on_the_last_turns_route() {
        let routes = centre();
        assert_eq!(
            intent(&routes.decide("còn buổi tối thì sao?", Some("tuition_calculator"))),
            "tuition_calculator"
        );
        assert_eq!(intent(&routes.decide("còn buổi tối thì sao?", Some("unknown"))), "out_of_domain");
        let long = "who do you think will win the next world cup";
        assert_eq!(intent(&routes.decide(long, Some("course_search"))), "out_of_domain");
    }

    #[test]
    fn a_question_that_comes_near_is_not_out_of_domain() {
        let routes = centre().with_near(0.1, Decision::Search { intent: "near".into() });
        for (question, expected) in [
            ("How does it begin for a beginner?", "near"),
            ("When does the course begin?", "course_search"),
            ("Qui a gagné hier soir ?", "out_of_domain"),
        ] {
            assert_eq!(intent(&routes.decide(question, None)), expected, "{question}");
        }
        assert_eq!(intent(&centre().decide("How does it begin for a beginner?", None)), "out_of_domain");
    }

    #[tokio::test]
    async fn each_tenant_has_its_own_routes() {
        let book = |scope: &TenantScope| {
            let own = scope.tenant() == TenantId::named("a");
            Arc::new(if own { centre() } else { Routes::search_everything("docs") })
        };
        let classifier = KeywordClassifier::new(book);
        let mut found = Vec::new();
        for tenant in ["a", "b"] {
            let ask = crate::Ask::new(testing::scope(tenant), testing::question("Who won the world cup?"));
            let decision = classifier.clone().oneshot(ClassifyRequest::of(&ask)).await.unwrap();
            found.push(intent(&decision).to_owned());
        }
        assert_eq!(found, ["out_of_domain", "docs"]);
    }

    proptest! {
        #[test]
        fn any_text_has_one_way_and_always_the_same(question in ".{0,200}") {
            static ROUTES: std::sync::LazyLock<Routes> = std::sync::LazyLock::new(centre);
            let routes = &*ROUTES;
            let decision = routes.decide(&question, None);
            prop_assert_eq!(&decision, &routes.decide(&question, None));
            prop_assert_eq!(decision, routes.decide(&question.to_uppercase().to_lowercase(), None));
        }
    }
}
