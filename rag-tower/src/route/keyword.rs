//! Deciding the way without a model: by keywords and example questions.

use std::collections::{BTreeMap, HashMap};
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{ClassifyRequest, Decision};
use crate::error::Error;
use crate::tenant::TenantScope;
use crate::words::words;

/// A route, known by its keywords and by questions that belong to it.
#[derive(Clone, Debug)]
pub struct Route {
    intent: Arc<str>,
    decision: Decision,
    keywords: Vec<Vec<String>>,
    examples: Vec<Vec<String>>,
}

/// Where a tenant's routes come from. It is asked on every question: answer from memory.
pub trait RouteBook: Send + Sync + 'static {
    /// The tenant's routes.
    fn routes(&self, scope: &TenantScope) -> Arc<Routes>;
}

/// A tenant's routes, prepared for comparing.
///
/// A question's score for a route is `1 - (1 - c) · (1 - k)`:
///
/// - `c` is the cosine between the question and the nearest example, each a vector of its words and pairs of words by
///   tf-idf, `tf · (1 + ln((1 + N) / (1 + n)))` with the `N` examples of all routes of which `n` hold the term. Terms
///   that no example holds count in the question's length, so that a question about something else is far from all.
/// - `k` is `1 - 0.5^w`, where `w` is the number of words of the route's keywords that the question holds.
///
/// The best route at or above the threshold wins, the earlier one of equals. Below it, a question of few words in a
/// conversation stays on the last turn's route ("and for two?"); one that comes [near](Self::with_near) takes the way that
/// is set for that; any other takes the fallback. Case and diacritics do
/// not matter.
#[derive(Clone, Debug)]
pub struct Routes {
    routes: Vec<Prepared>,
    idf: HashMap<String, f32>,
    unseen: f32,
    threshold: f32,
    fallback: Decision,
    near: Option<(f32, Decision)>,
}

#[derive(Clone, Debug)]
struct Prepared {
    intent: Arc<str>,
    decision: Decision,
    keywords: Vec<Vec<String>>,
    examples: Vec<BTreeMap<String, f32>>,
}

/// A [`Classifier`](super::Classifier) over a [`RouteBook`]: no model, always ready, the same answer every time.
#[derive(Debug)]
pub struct KeywordClassifier<B> {
    book: Arc<B>,
}

/// The longest question that is taken for the continuation of the one before, in words.
const FOLLOW_UP_WORDS: usize = 6;

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
        self.examples.extend(examples.into_iter().map(words).filter(|example| !example.is_empty()));
        self
    }
}

// === impl Routes ===

impl Routes {
    /// Routes, in order of preference among equals. The threshold is 0.35, the fallback out of domain.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        let mut seen_in: HashMap<String, usize> = HashMap::new();
        let mut all = 0;
        for example in routes.iter().flat_map(|route| &route.examples) {
            all += 1;
            for term in terms(example).into_keys() {
                *seen_in.entry(term).or_default() += 1;
            }
        }
        let idf = |n: usize| 1.0 + ((1 + all) as f32 / (1 + n) as f32).ln();
        let mut prepared = Self {
            routes: Vec::new(),
            unseen: idf(0),
            idf: seen_in.into_iter().map(|(term, n)| (term, idf(n))).collect(),
            threshold: 0.35,
            fallback: Decision::OutOfDomain,
            near: None,
        };
        prepared.routes = routes
            .into_iter()
            .map(|route| Prepared {
                examples: route.examples.iter().map(|example| prepared.vector(example)).collect(),
                intent: route.intent,
                decision: route.decision,
                keywords: route.keywords,
            })
            .collect();
        prepared
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
        let asked = words(question);
        let vector = self.vector(&asked);
        let mut best: Option<(f32, &Prepared)> = None;
        for route in &self.routes {
            let score = route.score(&asked, &vector);
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, route));
            }
        }
        let follow_up = || {
            let last = last_route.filter(|_| asked.len() <= FOLLOW_UP_WORDS)?;
            let route = self.routes.iter().find(|route| &*route.intent == last)?;
            matches!(route.decision, Decision::Search { .. } | Decision::Tool { .. }).then_some(route)
        };
        let clear = best.filter(|(score, _)| *score >= self.threshold).map(|(_, route)| route);
        if let Some(route) = clear.or_else(follow_up) {
            return route.decision.clone();
        }
        let near = best.filter(|(_, route)| route.decision != Decision::OutOfDomain).zip(self.near.as_ref());
        match near {
            Some(((score, _), (enough, decision))) if score >= *enough => decision.clone(),
            _ => self.fallback.clone(),
        }
    }

    /// The tf-idf vector of a text, of length 1.
    fn vector(&self, words: &[String]) -> BTreeMap<String, f32> {
        let mut vector = terms(words);
        for (term, weight) in &mut vector {
            *weight *= self.idf.get(term).copied().unwrap_or(self.unseen);
        }
        let length = vector.values().map(|weight| weight * weight).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.values_mut().for_each(|weight| *weight /= length);
        }
        vector
    }
}

impl<F: Fn(&TenantScope) -> Arc<Routes> + Send + Sync + 'static> RouteBook for F {
    fn routes(&self, scope: &TenantScope) -> Arc<Routes> {
        self(scope)
    }
}

/// How often each word and each pair of neighbours occurs.
fn terms(words: &[String]) -> BTreeMap<String, f32> {
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    words.iter().cloned().chain(pairs).fold(BTreeMap::new(), |mut terms, term| {
        *terms.entry(term).or_default() += 1.0;
        terms
    })
}

// === impl Prepared ===

impl Prepared {
    fn score(&self, asked: &[String], vector: &BTreeMap<String, f32>) -> f32 {
        let cosine = self
            .examples
            .iter()
            .map(|example| example.iter().filter_map(|(term, a)| Some(a * vector.get(term)?)).sum())
            .fold(0.0, f32::max);
        let held: usize = self
            .keywords
            .iter()
            .filter(|keyword| asked.windows(keyword.len()).any(|window| window == keyword.as_slice()))
            .map(Vec::len)
            .sum();
        1.0 - (1.0 - cosine) * 0.5_f32.powi(held.min(64) as i32)
    }
}

// === impl KeywordClassifier ===

impl<B: RouteBook> KeywordClassifier<B> {
    /// A classifier over a book.
    pub fn new(book: B) -> Self {
        Self { book: Arc::new(book) }
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
        let routes = self.book.routes(&request.scope);
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
            let routes = centre();
            let decision = routes.decide(&question, None);
            prop_assert_eq!(&decision, &routes.decide(&question, None));
            prop_assert_eq!(decision, routes.decide(&question.to_uppercase().to_lowercase(), None));
        }
    }
}
