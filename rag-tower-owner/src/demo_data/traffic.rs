//! Traffic that nobody made: a moment in, what happened in each of the days before it out. The same moment gives the same
//! traffic, so that a fill that broke off is gone on with.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rag_tower::answer::{AbstainReason, Usage};
use rag_tower::passage::{ChunkId, DocumentId, Source};
use rag_tower::postgres::Rating;
use rag_tower::tenant::BranchId;
use rag_tower::trace::{HitRecord, Outcome, Phase, Span, TraceRow};
use rag_tower::{AskId, Channel, ErrorKind, Finish, SessionId, Stage};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::talk::{Speaker, Talk, Topic};

/// Visits of a usual day, of both tenants together. A visit is one to four asks.
const VISITS: f64 = 240.0;
/// How many of 240 visits fall into each hour of a day in Hanoi, which is seven hours ahead of UTC.
const HOURS: [u32; 24] =
    [2, 1, 1, 0, 0, 1, 2, 5, 10, 14, 15, 13, 9, 9, 12, 14, 15, 14, 15, 20, 24, 22, 15, 7];
const AHEAD: u32 = 7;
/// A visit is over within this time.
const LONGEST: u32 = 15 * 60;
/// This many days ago a provider was down in the afternoon, and on another day the search for some minutes.
const BAD_PROVIDER: u32 = 9;
const BAD_STORE: u32 = 17;

/// Makes the traffic.
pub(super) struct Traffic {
    talk: Talk,
    until: OffsetDateTime,
}

/// An ask, and what came after it.
pub(super) struct Made {
    pub(super) row: TraceRow,
    pub(super) opinion: Option<Opinion>,
    pub(super) ticket: Option<Ticket>,
}

/// A thumb.
pub(super) struct Opinion {
    pub(super) id: Uuid,
    pub(super) at: OffsetDateTime,
    pub(super) rating: Rating,
    pub(super) comment: Option<String>,
}

/// A request for a person.
pub(super) struct Ticket {
    pub(super) id: Uuid,
    pub(super) at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
    pub(super) phone: String,
    pub(super) message: String,
    pub(super) status: &'static str,
}

/// Who answers: provider, model, dollars for a million tokens in and out, whether it reports usage, and how fast it is.
type Model = (&'static str, &'static str, Option<(f64, f64)>, bool, f64);

const MODELS: [(u32, Model); 3] = [
    (6, ("groq", "llama-3.3-70b-versatile", Some((0.59, 0.79)), true, 1.0)),
    (3, ("gemini", "gemini-2.5-flash", Some((0.30, 2.50)), true, 1.4)),
    // on a machine of one's own: no price, and no usage
    (2, ("ollama", "qwen3:8b", None, false, 2.6)),
];

/// What everything about one ask hangs on.
struct Moment {
    days_ago: u32,
    /// The hour in Hanoi.
    hour: u32,
}

/// One person, for a few minutes.
struct Visit<'a> {
    speaker: &'a Speaker,
    channel: Channel,
    session: SessionId,
    subject: Arc<str>,
    branch: Option<BranchId>,
    model: Option<Model>,
}

/// How an ask went, before it is written down.
enum Fate {
    Answered,
    Unknown,
    OutOfDomain,
    Failed(ErrorKind, Stage),
    FailedClosed(AbstainReason),
    Cancelled,
    Refused(ErrorKind, Stage),
}

// === impl Traffic ===

impl Traffic {
    pub(super) fn new(until: OffsetDateTime) -> Result<Self, toml::de::Error> {
        Ok(Self { talk: Talk::read()?, until })
    }

    /// How many asks there are in the last so many days.
    pub(super) fn asks(&self, days: u32) -> usize {
        (0..days).map(|day| self.visits(day).1.iter().sum::<usize>()).sum()
    }

    /// The asks of the 24 hours that ended so many days before the moment, in the order of time.
    pub(super) fn day(&self, days_ago: u32) -> Vec<Made> {
        let (mut rng, visits) = self.visits(days_ago);
        let mut made = Vec::new();
        for asks in visits {
            self.visit(&mut rng, days_ago, asks, &mut made);
        }
        made.sort_by_key(|made| made.row.ts);
        made
    }

    /// How many asks each visit of a day has. Weekends are quieter, and it becomes more from week to week.
    fn visits(&self, days_ago: u32) -> (Rng, Vec<usize>) {
        let mut rng = Rng::with_seed(0xDE30_0000 + u64::from(days_ago));
        let day = (self.until - time::Duration::days(i64::from(days_ago))).weekday();
        let week = match day {
            time::Weekday::Saturday => 0.75,
            time::Weekday::Sunday => 0.6,
            time::Weekday::Monday => 1.15,
            _ => 1.0,
        };
        let growth = 1.0 - f64::from(days_ago) * 0.008;
        let visits = VISITS * week * growth * (0.92 + 0.16 * rng.f64());
        let sizes = (0..visits as usize).map(|_| [1, 1, 1, 1, 2, 2, 2, 3, 3, 4][rng.usize(0..10)]).collect();
        (rng, sizes)
    }

    fn visit(&self, rng: &mut Rng, days_ago: u32, asks: usize, made: &mut Vec<Made>) {
        let end = self.until - time::Duration::days(i64::from(days_ago));
        let begin = end - time::Duration::DAY;
        // a second of that day, in the hour that is drawn
        let hour = weighted(rng, HOURS.iter().copied());
        let of_day = (hour + 24 - AHEAD) % 24 * 3_600 + rng.u32(0..3_600);
        let midnight = begin.replace_time(time::Time::MIDNIGHT);
        let mut at = midnight + time::Duration::seconds(of_day.into());
        if at < begin {
            at += time::Duration::DAY;
        }
        at = at.min(end - time::Duration::seconds(LONGEST.into()));
        at += time::Duration::milliseconds(rng.i64(0..1_000));

        let tenants = &self.talk.tenants;
        let speaker = &tenants[weighted(rng, tenants.iter().map(|tenant| tenant.share)) as usize];
        let visit = Visit::new(rng, speaker, at);
        let moment = Moment { days_ago, hour };
        for _ in 0..asks {
            let ask = visit.ask(rng, at, &moment, self.until);
            at += time::Duration::try_from(ask.row.latency).unwrap_or_default();
            at += time::Duration::seconds(rng.i64(8..120));
            made.push(ask);
        }
    }
}

// === impl Visit ===

impl<'a> Visit<'a> {
    fn new(rng: &mut Rng, speaker: &'a Speaker, at: OffsetDateTime) -> Self {
        let channels = [
            (5, Channel::Web),
            (4, Channel::WebWs),
            (4, Channel::TenantChat),
            (2, Channel::Api),
            (1, Channel::Cli),
        ];
        let (_, channel) = channels[weighted(rng, channels.iter().map(|(weight, _)| *weight)) as usize];
        let model = rng.f64() < 0.93;
        let model = model.then(|| MODELS[weighted(rng, MODELS.iter().map(|(weight, _)| *weight)) as usize].1);
        let branches = ["hoan-kiem", "cau-giay", "long-bien"];
        let branch = (speaker.slug == "language-centre" && rng.f64() < 0.3)
            .then(|| BranchId::named(speaker.id(), branches[rng.usize(0..3)]));
        Self {
            speaker,
            channel,
            session: SessionId::new(id_at(rng, at)),
            subject: format!("visitor-{}", rng.u32(1..900)).into(),
            branch,
            model,
        }
    }

    fn ask(&self, rng: &mut Rng, at: OffsetDateTime, moment: &Moment, now: OffsetDateTime) -> Made {
        let topics = &self.speaker.topics;
        let topic = &topics[weighted(rng, topics.iter().map(|topic| topic.weight)) as usize];
        let tool = topic.route.is_some();
        let fate = moment.fate(rng, tool);
        let phone = phone(rng);
        let question = match fate {
            Fate::Unknown => one(rng, &self.speaker.unknown),
            Fate::OutOfDomain => one(rng, &self.speaker.rest),
            _ => one(rng, &topic.questions),
        };
        let id = id_at(rng, at);
        let mut row = self.row(rng, AskId::new(id), &fate, topic, moment);
        row.question = Some(question.replace("{phone}", &phone).into());
        let opinion = self.opinion(rng, &row, &fate, &phone);
        let wanted = topic.route.as_deref() == Some("create_ticket") && matches!(fate, Fate::Answered);
        let ticket = wanted.then(|| ticket(rng, &row, phone, now));
        if let Some(ticket) = &ticket {
            row.outcome = Outcome::Completed(Finish::Handoff(ticket.id.to_string().into()));
            row.tool_metadata.insert("ticket_id".into(), json!(ticket.id));
            row.tool_metadata.insert("reason".into(), json!("asked_for_a_person"));
        }
        Made { row, opinion, ticket }
    }

    fn row(&self, rng: &mut Rng, id: AskId, fate: &Fate, topic: &Topic, moment: &Moment) -> TraceRow {
        let tenant = self.speaker.id();
        let mut spans = Spans::default();
        let outcome = match fate {
            Fate::Answered => Outcome::Completed(Finish::Stop),
            Fate::Unknown => Outcome::Completed(Finish::Abstained(AbstainReason::BelowThreshold)),
            Fate::OutOfDomain => Outcome::Completed(Finish::OutOfDomain),
            Fate::FailedClosed(reason) => Outcome::Completed(Finish::Abstained(*reason)),
            Fate::Failed(kind, stage) | Fate::Refused(kind, stage) => Outcome::Failed(*kind, *stage),
            Fate::Cancelled => Outcome::Cancelled(Phase::Streaming),
        };
        let mut row = TraceRow::new(id, tenant, outcome, Duration::ZERO);
        row.branch_id = self.branch;
        row.subject = Some(Arc::clone(&self.subject));
        row.session_id = Some(self.session);
        row.request_id = Some(format!("demo-{}", id.as_uuid().simple()).into());
        row.channel = self.channel;
        row.tool_metadata = Map::from_iter([("demo".to_owned(), Value::Bool(true))]);
        if let Fate::Refused(kind, _) = fate {
            row.latency = Duration::from_micros(rng.u64(90..600));
            row.error = Some(kind.as_str().replace('_', " ").into());
            return row;
        }
        let route = match fate {
            Fate::OutOfDomain => "out_of_domain",
            Fate::Unknown => &self.speaker.route,
            _ => topic.route.as_deref().unwrap_or(&self.speaker.route),
        };
        row.route = Some(route.into());
        spans.push(Stage::Memory, rng.u64(400..4_000));
        spans.push(Stage::Cache, rng.u64(8..40));
        spans.push(Stage::Route, rng.u64(60..900));
        match fate {
            Fate::OutOfDomain => {
                row.answer =
                    Some("Câu hỏi này nằm ngoài phạm vi của tôi. / This is not what I am for.".into());
            }
            _ if topic.route.is_some() && !matches!(fate, Fate::Unknown) => {
                spans.push(Stage::Tool, rng.u64(800..14_000));
                row.answer = Some(topic.answer.as_str().into());
            }
            _ => self.searched(rng, &mut row, &mut spans, fate, topic, moment),
        }
        if let Fate::Failed(kind, _) = fate {
            row.answer = None;
            row.sources = Arc::default();
            row.error = Some(said(*kind).into());
        }
        row.latency = spans.end + Duration::from_micros(rng.u64(60..400));
        if row.ttft.is_none() && row.answer.is_some() {
            row.ttft = Some(row.latency.saturating_sub(Duration::from_micros(40)));
        }
        row.spans = spans.spans;
        row
    }

    /// An ask that goes the way of search.
    fn searched(
        &self,
        rng: &mut Rng,
        row: &mut TraceRow,
        spans: &mut Spans,
        fate: &Fate,
        topic: &Topic,
        moment: &Moment,
    ) {
        let load = moment.load();
        let stopped = |stage: Stage| matches!(fate, Fate::Failed(_, at) if *at == stage);
        spans.push(Stage::Embed, (rng.u64(3_000..9_000) as f64 * load) as u64);
        if stopped(Stage::Embed) {
            return;
        }
        let slow = matches!(fate, Fate::FailedClosed(_)) || stopped(Stage::Retrieve);
        let search = if slow { 5_000_000 } else { (rng.u64(4_000..22_000) as f64 * load) as u64 };
        spans.push(Stage::Retrieve, search);
        if slow {
            row.answer = Some("Tôi chưa trả lời được lúc này. / I cannot answer right now.".into());
            return;
        }
        spans.push(Stage::Rerank, rng.u64(200..1_500));
        spans.push(Stage::Confidence, rng.u64(3..20));
        let known = !matches!(fate, Fate::Unknown);
        let file = topic.file.as_deref().unwrap_or("faq.md");
        found(rng, row, self.speaker, file, known);
        row.confidence = Some(if known { 0.55 + 0.4 * rng.f32() } else { 0.08 + 0.2 * rng.f32() });
        if !known {
            row.answer =
                Some("Tôi không tìm thấy điều này trong tài liệu. / The documents do not say.".into());
            return;
        }
        row.sources = sources(row, topic);
        spans.push(Stage::Prompt, rng.u64(40..300));
        let Some((provider, model, price, reports, pace)) = self.model else {
            spans.push(Stage::Generate, rng.u64(800..6_000));
            row.llm_provider = Some("extractive".into());
            row.answer = Some(topic.answer.as_str().into());
            return;
        };
        row.llm_provider = Some(provider.into());
        row.llm_model = Some(model.into());
        let first = (rng.u64(180_000..520_000) as f64 * pace * load) as u64;
        if stopped(Stage::Generate) {
            spans.push(Stage::Generate, first * 8);
            return;
        }
        let answer: Arc<str> = match fate {
            // cut where the reader went away
            Fate::Cancelled => &topic.answer[..topic.answer.floor_char_boundary(topic.answer.len() / 2)],
            _ => topic.answer.as_str(),
        }
        .into();
        let output = answer.chars().count().div_ceil(4) as u64 + rng.u64(0..40);
        let input = rng.u64(620..1_900);
        row.ttft = Some(spans.end + Duration::from_micros(first));
        let each = (rng.u64(4_000..11_000) as f64 * pace * load) as u64;
        spans.push(Stage::Generate, first + output * each);
        row.answer = Some(answer);
        row.usage = Some(Usage { input_tokens: input, output_tokens: output, estimated: !reports });
        row.cost_estimate = price
            .map(|(of_input, of_output)| (input as f64 * of_input + output as f64 * of_output) / 1_000_000.0);
    }

    fn opinion(&self, rng: &mut Rng, row: &TraceRow, fate: &Fate, phone: &str) -> Option<Opinion> {
        let (asked, pleased) = match fate {
            Fate::Answered => (0.14, 0.86),
            Fate::Unknown => (0.12, 0.2),
            Fate::OutOfDomain => (0.05, 0.3),
            Fate::Failed(..) | Fate::FailedClosed(_) => (0.1, 0.0),
            Fate::Cancelled | Fate::Refused(..) => return None,
        };
        if rng.f64() > asked {
            return None;
        }
        let up = rng.f64() < pleased;
        let words = if up { &self.speaker.praise } else { &self.speaker.complaint };
        let said = rng.f64() < if up { 0.25 } else { 0.7 };
        let comment = said.then(|| one(rng, words).replace("{phone}", phone));
        let at = row.ts + row.latency + Duration::from_secs(rng.u64(2..40));
        let rating = if up { Rating::Up } else { Rating::Down };
        Some(Opinion { id: id_at(rng, at), at, rating, comment })
    }
}

// === impl Moment ===

impl Moment {
    /// How much slower everything is than at night.
    fn load(&self) -> f64 {
        let busy = f64::from(HOURS[self.hour as usize]) / 24.0;
        let trouble = if self.days_ago == BAD_PROVIDER && (14..17).contains(&self.hour) { 3.0 } else { 1.0 };
        (1.0 + 0.9 * busy) * trouble
    }

    fn fate(&self, rng: &mut Rng, tool: bool) -> Fate {
        let chance = rng.f64();
        if !tool && self.days_ago == BAD_PROVIDER && (14..17).contains(&self.hour) && chance < 0.45 {
            return Fate::Failed(ErrorKind::ProviderUnavailable, Stage::Generate);
        }
        if !tool && self.days_ago == BAD_STORE && self.hour == 10 && chance < 0.6 {
            return Fate::FailedClosed(AbstainReason::StoreUnavailable);
        }
        // each with its share of all asks
        let rare = [
            (0.012, Fate::Refused(ErrorKind::RateLimited, Stage::RateLimit)),
            (0.002, Fate::Refused(ErrorKind::OverBudget, Stage::Admission)),
            (0.006, Fate::Failed(ErrorKind::Timeout, Stage::Generate)),
            (0.005, Fate::Failed(ErrorKind::ProviderRateLimited, Stage::Generate)),
            (0.002, Fate::Failed(ErrorKind::ProviderUnavailable, Stage::Embed)),
            (0.003, Fate::FailedClosed(AbstainReason::FilterUnavailable)),
            (0.024, Fate::Cancelled),
            (0.065, Fate::Unknown),
            (0.035, Fate::OutOfDomain),
        ];
        let mut passed = 0.0;
        for (share, fate) in rare {
            passed += share;
            if chance < passed {
                let searches = matches!(fate, Fate::Failed(..) | Fate::FailedClosed(_) | Fate::Cancelled);
                return if tool && searches { Fate::Answered } else { fate };
            }
        }
        Fate::Answered
    }
}

/// Stages one after the other.
#[derive(Default)]
struct Spans {
    spans: Vec<Span>,
    end: Duration,
}

// === impl Spans ===

impl Spans {
    fn push(&mut self, stage: Stage, micros: u64) {
        // what lies between stages
        let start = self.end + Duration::from_micros(12);
        let duration = Duration::from_micros(micros);
        self.spans.push(Span { stage, start, duration });
        self.end = start + duration;
    }
}

/// What the search found: chunks of the document that says it, and of others.
fn found(rng: &mut Rng, row: &mut TraceRow, speaker: &Speaker, file: &str, known: bool) {
    let others: Vec<&str> = speaker.topics.iter().filter_map(|topic| topic.file.as_deref()).collect();
    let mut score = if known { 0.78 + 0.15 * rng.f32() } else { 0.42 + 0.1 * rng.f32() };
    for rank in 1..=6 {
        let own = rank == 1 || rng.f32() < 0.5;
        let file = if own { file } else { others[rng.usize(0..others.len())] };
        let document = DocumentId::named(row.tenant_id, file);
        let chunk = ChunkId::of(row.tenant_id, document, if own { rank - 1 } else { rng.u32(0..4) });
        let fused = 1.0 / (60.0 + rank as f32);
        let mut hit = |source: &str, rank, score| {
            let (source, used) = (source.into(), known && rank <= 2);
            row.hits.push(HitRecord { source, rank, chunk, document, score, fused, used });
        };
        hit("dense", rank, score);
        // the words know most of what the meaning knows
        if rng.f32() < 0.7 {
            hit("sparse", rank, 4.0 + 12.0 * score);
        }
        score -= 0.02 + 0.06 * rng.f32();
    }
}

/// What an answer cites: the hits that were used.
fn sources(row: &TraceRow, topic: &Topic) -> Arc<[Source]> {
    let used = row.hits.iter().filter(|hit| hit.used && &*hit.source == "dense").zip(1..);
    let sources = used.map(|(hit, n)| Source {
        n,
        doc_id: hit.document,
        file_name: topic.file.as_deref().unwrap_or("faq.md").into(),
        title: topic.title.as_str().into(),
        chunk: hit.chunk,
        snippet: topic.answer.chars().take(120).collect::<String>().into(),
        score: hit.score,
    });
    sources.collect()
}

fn ticket(rng: &mut Rng, row: &TraceRow, phone: String, now: OffsetDateTime) -> Ticket {
    let at = row.ts + row.latency;
    let old = now - at;
    // what is old has been dealt with, nearly always
    let status = match (old.whole_days(), rng.u32(0..10)) {
        (0, 0..=1) | (1..=3, 2..=5) | (4.., 1) => "contacted",
        (1..=3, 0..=1) | (4.., 2..) => "closed",
        _ => "new",
    };
    let passed = if status == "new" { 0.0 } else { 0.02 + 0.5 * rng.f64() };
    let message = row.question.as_deref().unwrap_or_default().to_owned();
    Ticket { id: id_at(rng, at), at, updated_at: at + old * passed, phone, message, status }
}

fn said(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Timeout => "the model did not answer in time",
        ErrorKind::ProviderRateLimited => "the model's provider asked to slow down",
        _ => "the model's provider could not be reached",
    }
}

/// What looks like the number of a mobile telephone.
fn phone(rng: &mut Rng) -> String {
    format!("0900 000 {:03}", rng.u32(0..1_000))
}

/// An id of that moment.
fn id_at(rng: &mut Rng, at: OffsetDateTime) -> Uuid {
    let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let mut bytes = [0; 10];
    rng.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

fn one<'a>(rng: &mut Rng, texts: &'a [String]) -> &'a str {
    rng.choice(texts).map_or("", String::as_str)
}

/// The number of one of the weights, the heavier the likelier.
fn weighted(rng: &mut Rng, weights: impl Iterator<Item = u32> + Clone) -> u32 {
    let sum: u32 = weights.clone().sum();
    let mut left = rng.u32(0..sum.max(1));
    for (n, weight) in (0..).zip(weights) {
        if left < weight {
            return n;
        }
        left -= weight;
    }
    0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rag_tower::tenant::TenantId;
    use time::macros::datetime;

    use super::*;

    fn traffic() -> Traffic {
        Traffic::new(datetime!(2026-03-31 09:30 UTC)).unwrap()
    }

    #[test]
    fn the_same_moment_gives_the_same_traffic() {
        let (once, again) = (traffic().day(3), traffic().day(3));
        assert!(once.iter().zip(&again).all(|(a, b)| a.row == b.row) && once.len() == again.len());
        assert_ne!(once[0].row.trace_id, traffic().day(4)[0].row.trace_id);
    }

    #[test]
    fn a_month_has_everything_that_a_console_shows() {
        let traffic = traffic();
        let all: Vec<Made> = (0..30).flat_map(|day| traffic.day(day)).collect();
        assert_eq!(all.len(), traffic.asks(30));
        assert!((10_000..20_000).contains(&all.len()), "{}", all.len());
        let count = |which: &dyn Fn(&Made) -> bool| all.iter().filter(|made| which(made)).count();
        let statuses: BTreeSet<_> = all.iter().map(|made| made.row.outcome.status().as_str()).collect();
        assert_eq!(statuses.len(), 7, "{statuses:?}");
        let routes: BTreeSet<_> = all.iter().filter_map(|made| made.row.route.clone()).collect();
        assert_eq!(routes.len(), 6, "{routes:?}");
        let models: BTreeSet<_> = all.iter().filter_map(|made| made.row.llm_model.clone()).collect();
        assert_eq!(models.len(), 3);
        let channels: BTreeSet<_> = all.iter().map(|made| made.row.channel.as_str()).collect();
        assert_eq!(channels.len(), 5);
        assert!(count(&|made| made.opinion.is_some()) > 1_000);
        assert!(count(&|made| made.ticket.is_some()) > 200);
        assert!(count(&|made| made.row.usage.is_some() && made.row.cost_estimate.is_none()) > 500);
        assert!(all.iter().map(|made| made.row.tenant_id).collect::<BTreeSet<TenantId>>().len() == 2);
    }

    #[test]
    fn every_row_is_marked_within_its_time_and_has_an_id_of_its_own() {
        let traffic = traffic();
        let mut ids = BTreeSet::new();
        for day in 0..30 {
            let end = traffic.until - time::Duration::days(day.into());
            for made in traffic.day(day) {
                assert!(made.row.request_id.as_deref().unwrap().starts_with("demo-"));
                assert_eq!(made.row.tool_metadata["demo"], json!(true));
                assert!((end - time::Duration::DAY..end).contains(&made.row.ts), "{}", made.row.ts);
                assert!(ids.insert(made.row.trace_id));
                assert!(made.opinion.is_none_or(|opinion| opinion.at <= traffic.until));
                let ended =
                    |ticket: Ticket| ticket.at <= ticket.updated_at && ticket.updated_at <= traffic.until;
                assert!(made.ticket.is_none_or(ended));
                let last = made.row.spans.last().map_or(Duration::ZERO, |span| span.start + span.duration);
                assert!(
                    last <= made.row.latency && made.row.ttft.is_none_or(|first| first <= made.row.latency)
                );
            }
        }
    }
}
