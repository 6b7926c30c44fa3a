//! Rows that nobody asked for, of two shapes: a random number generator in, rows as a server writes them out.
//!
//! | shape | what | length |
//! |---|---|---|
//! | large | question, answer, one to four sources with snippets, spans of all stages, hits | 1 to 4 kB as JSON |
//! | small | question, answer | 300 bytes of text at most |

use std::sync::Arc;
use std::time::Duration;

use rag_tower::answer::Usage;
use rag_tower::passage::{ChunkId, DocumentId, Source};
use rag_tower::tenant::TenantId;
use rag_tower::trace::{HitRecord, Outcome, Span, TraceRow};
use rag_tower::{AskId, ErrorKind, Finish, Stage};
use rag_tower_tests::corpus::{Corpus, Random};
use serde_json::{Map, json};
use time::OffsetDateTime;
use uuid::Uuid;

pub const TENANTS: usize = 20;
/// Chunks of the documents that answers come from.
const CHUNKS: usize = 2_000;
/// What the snippet of a source holds of its chunk, in bytes.
const SNIPPET: usize = 200;
/// Words between those of the corpus, with the marks that Vietnamese is written with.
const VIETNAMESE: [&str; 24] = [
    "học phí",
    "khóa học",
    "buổi tối",
    "giảng viên",
    "đăng ký",
    "lịch khai giảng",
    "chứng chỉ",
    "cơ sở",
    "trực tuyến",
    "ưu đãi",
    "hoàn học phí",
    "bảo lưu",
    "lớp nhỏ",
    "giáo trình",
    "kiểm tra đầu vào",
    "thời lượng",
    "tuần",
    "tháng",
    "nghìn đồng",
    "chuyển khoản",
    "tư vấn",
    "điểm danh",
    "bài tập",
    "luyện đề",
];

/// Makes rows.
pub struct Rows {
    template: TraceRow,
    chunks: Vec<Arc<str>>,
    random: Random,
    names: Vec<TenantId>,
    routes: [Arc<str>; 3],
}

// === impl Rows ===

impl Rows {
    /// The rows of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut corpus = Corpus::new(seed);
        let chunks = corpus.document(CHUNKS).iter().map(|chunk| mixed(&mut random, chunk).into()).collect();
        let template = json!({
            "trace_id": Uuid::nil(), "ts": "2026-01-01T00:00:00Z", "tenant_id": Uuid::nil(), "channel": "web",
            "outcome": "truncated", "latency": Duration::ZERO, "sources": [], "tool_metadata": {}, "spans": [],
            "hits": [], "degraded": [], "llm_provider": "local", "llm_model": "small"
        });
        Self {
            template: serde_json::from_value(template).expect("a row"),
            chunks,
            random,
            names: (0..TENANTS).map(tenant).collect(),
            routes: ["course_search", "tuition_calculator", "comparison"].map(Arc::from),
        }
    }

    /// An ask as a model answers it from what was found.
    pub fn large(&mut self, at: OffsetDateTime) -> TraceRow {
        let mut row = self.common(at);
        let (question, answer) = (8 + self.below(12), 150 + self.below(450));
        let (first, second) = (self.below(CHUNKS), self.below(CHUNKS));
        row.question = Some(format!("{}?", words(&self.chunks[first], question)).into());
        row.answer = Some(format!("{} [1]", cut(&self.chunks[second], answer)).into());
        let found: Vec<usize> = (0..1 + self.below(4)).map(|_| self.below(CHUNKS)).collect();
        row.sources = found.iter().zip(1..).map(|(chunk, n)| self.source(*chunk, n)).collect();
        row.hits = found.iter().zip(1..).map(|(chunk, rank)| hit(*chunk, rank)).collect();
        let mut start = Duration::ZERO;
        for stage in
            [Stage::Embed, Stage::Retrieve, Stage::Rerank, Stage::Confidence, Stage::Prompt, Stage::Generate]
        {
            let duration = Duration::from_micros(40 + self.below(9_000) as u64);
            row.spans.push(Span { stage, start, duration });
            start += duration;
        }
        row.confidence = Some(0.5 + self.below(500) as f32 / 1_000.0);
        row.tool_metadata = Map::from_iter([("intent".to_owned(), json!("search"))]);
        row
    }

    /// An ask of few words.
    pub fn small(&mut self, at: OffsetDateTime) -> TraceRow {
        let mut row = self.common(at);
        let (first, second) = (self.below(CHUNKS), self.below(CHUNKS));
        row.question = Some(words(&self.chunks[first], 8).into());
        row.answer = Some(cut(&self.chunks[second], 180).into());
        row
    }

    /// Words that about one row in a thousand holds.
    pub fn phrase(&self, chunk: usize) -> String {
        words(&self.chunks[chunk], 7)
    }

    fn common(&mut self, at: OffsetDateTime) -> TraceRow {
        let mut row = self.template.clone();
        let seconds = at.unix_timestamp().unsigned_abs();
        // another random part in each, or ids would meet
        let bits = u128::from(self.random.bits()) << 64 | u128::from(self.random.bits());
        let id = uuid::Builder::from_unix_timestamp_millis(
            seconds * 1_000 + u64::from(at.millisecond()),
            &bits.to_be_bytes()[..10].try_into().expect("ten bytes"),
        );
        row.trace_id = AskId::new(id.into_uuid());
        row.ts = row.trace_id.timestamp().expect("a time");
        row.tenant_id = self.names[self.random.below(TENANTS)];
        let route = [0, 0, 1, 2][self.below(4)];
        row.route = Some(Arc::clone(&self.routes[route]));
        row.subject = Some(format!("key-{}", self.below(400)).into());
        // most take a second or so, some much longer
        row.latency = Duration::from_micros(200_000 + (self.below(1_000) * self.below(1_000) * 4) as u64);
        row.ttft = Some(row.latency / 3);
        row.outcome = match self.below(50) {
            0 => Outcome::Failed(ErrorKind::Internal, Stage::Generate),
            _ => Outcome::Completed(Finish::Stop),
        };
        row.usage = Some(Usage { input_tokens: 900, output_tokens: 60, estimated: false });
        row.cost_estimate = Some(0.0004 + self.below(100) as f64 / 1e6);
        row
    }

    fn source(&self, chunk: usize, n: u32) -> Source {
        Source {
            n,
            doc_id: document_id(chunk),
            file_name: format!("handbook-{}.md", chunk / 20).into(),
            title: words(&self.chunks[chunk], 4).into(),
            chunk: chunk_id(chunk),
            snippet: cut(&self.chunks[chunk], SNIPPET).into(),
            score: 0.9 - n as f32 / 17.0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.below(end)
    }
}

/// The n-th tenant.
pub fn tenant(n: usize) -> TenantId {
    TenantId::named(&format!("t{n}"))
}

/// Text of the corpus with Vietnamese in every second place of four words.
fn mixed(random: &mut Random, text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let parts = words.chunks(4).enumerate().map(|(n, part)| match n % 2 {
        0 => part.join(" "),
        _ => [VIETNAMESE[random.below(24)], VIETNAMESE[random.below(24)]].join(" "),
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// The first words.
fn words(text: &str, count: usize) -> String {
    text.split(' ').take(count).collect::<Vec<_>>().join(" ")
}

/// The first bytes, cut between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn hit(chunk: usize, rank: u32) -> HitRecord {
    HitRecord {
        source: "hybrid".into(),
        rank,
        chunk: chunk_id(chunk),
        document: document_id(chunk),
        score: 0.9 - rank as f32 / 31.0,
        fused: 1.0 / (60.0 + rank as f32),
        used: true,
    }
}

fn chunk_id(chunk: usize) -> ChunkId {
    ChunkId::of(TenantId::named("bench"), document_id(chunk), chunk as u32)
}

fn document_id(chunk: usize) -> DocumentId {
    DocumentId::named(TenantId::named("bench"), &format!("handbook-{}.md", chunk / 20))
}
