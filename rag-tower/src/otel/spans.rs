//! An ask's end in, its spans out: one for the ask, and one below it for each stage.

use std::sync::Arc;
use std::time::Duration;

use super::proto::{self, KeyValue, SpanKind, StatusCode, Value};
use crate::answer::Finish;
use crate::ask::{AskId, Channel, SessionId};
use crate::error::Stage;
use crate::generate::EXTRACTIVE;
use crate::tenant::TenantId;
use crate::trace::{Outcome, Parent, Span, Status, TraceRow};

/// The most stages of one ask that become spans.
const MAX_STAGES: usize = 64;
/// Flags of a span: it is known whether its parent is in another process, and it is.
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;
/// The workflow of an ask that no route has answered.
const ASK: &str = "ask";

/// What spans need to know of an ask, without its words: it waits in the queue in place of them.
#[derive(Debug)]
pub(super) struct Ended {
    id: AskId,
    parent: Option<Parent>,
    began: u64,
    latency: Duration,
    ttft: Option<Duration>,
    tenant: Option<TenantId>,
    session: Option<SessionId>,
    channel: Channel,
    route: Option<Arc<str>>,
    outcome: Outcome,
    spans: Vec<Span>,
    hits: u64,
    sources: u64,
    confidence: Option<f32>,
    degraded: Vec<Arc<str>>,
    usage: Option<crate::answer::Usage>,
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
}

// === impl Ended ===

impl Ended {
    /// Takes what is needed of a row, with the tenant's id if that is wanted.
    pub(super) fn new(row: &TraceRow, tenant: bool) -> Self {
        Self {
            id: row.trace_id,
            parent: row.parent,
            began: u64::try_from(row.ts.unix_timestamp_nanos()).unwrap_or_default(),
            latency: row.latency,
            ttft: row.ttft,
            tenant: tenant.then_some(row.tenant_id),
            session: row.session_id,
            channel: row.channel,
            route: row.route.clone(),
            outcome: row.outcome.clone(),
            spans: row.spans.iter().take(MAX_STAGES).copied().collect(),
            hits: row.hits.len() as u64,
            sources: row.sources.len() as u64,
            confidence: row.confidence,
            degraded: row.degraded.clone(),
            usage: row.usage,
            provider: row.llm_provider.clone(),
            model: row.llm_model.clone(),
        }
    }

    /// How many spans it becomes.
    pub(super) fn len(&self) -> usize {
        1 + self.spans.len()
    }

    /// Its spans, the ask's first.
    pub(super) fn spans(&self) -> impl Iterator<Item = proto::Span> + '_ {
        let stages = self.spans.iter().zip(1..).map(|(span, number)| self.stage(*span, number));
        std::iter::once(self.root()).chain(stages)
    }

    fn root(&self) -> proto::Span {
        let workflow = self.route.as_deref().unwrap_or(ASK);
        let status = self.outcome.status();
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", "invoke_workflow"),
            KeyValue::new("gen_ai.workflow.name", workflow),
            KeyValue::new("rag.ask.id", &*self.id.to_string()),
            KeyValue::new("rag.channel", self.channel.as_str()),
            KeyValue::new("rag.status", status.as_str()),
            KeyValue::new("rag.hits", self.hits),
            KeyValue::new("rag.sources", self.sources),
        ];
        let mut add = |key: &str, value: Option<Value>| {
            attributes.extend(value.map(|value| KeyValue::new(key, value)));
        };
        add("gen_ai.conversation.id", self.session.map(|session| (&*session.to_string()).into()));
        add("rag.tenant.id", self.tenant.map(|tenant| (&*tenant.to_string()).into()));
        add("rag.finish", self.outcome.finish().map(Value::from));
        add("rag.reason", self.reason().map(Value::from));
        add("rag.confidence", self.confidence.map(|confidence| f64::from(confidence).into()));
        add("rag.time_to_first_token", self.ttft.map(|ttft| ttft.as_secs_f64().into()));
        add("rag.degraded", (!self.degraded.is_empty()).then(|| self.degraded.iter().collect()));
        let failed = matches!(status, Status::Error | Status::FailClosed);
        add("error.type", failed.then(|| self.reason().unwrap_or("_OTHER").into()));
        let remote = if self.parent.is_some() { PARENT_IS_KNOWN | PARENT_IS_REMOTE } else { 0 };
        proto::Span {
            flags: self.flags() | remote,
            name: format!("invoke_workflow {workflow}"),
            parent_span_id: self.parent.map(|parent| parent.span_id().to_vec()).unwrap_or_default(),
            ..self.span(0, SpanKind::Internal, (Duration::ZERO, self.latency), failed, attributes)
        }
    }

    /// Why it ended so: a name from a closed set. The id of a ticket is none.
    fn reason(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Completed(Finish::Handoff(_)) => None,
            outcome => outcome.reason(),
        }
    }

    fn stage(&self, span: Span, number: u64) -> proto::Span {
        let stage = span.stage.as_str();
        let mut attributes = vec![KeyValue::new("rag.stage", stage)];
        let failed = matches!(&self.outcome, Outcome::Failed(_, at) if *at == span.stage);
        if failed && let Some(reason) = self.reason() {
            attributes.push(KeyValue::new("error.type", reason));
        }
        let (name, kind) = match (span.stage, &self.provider, &self.model) {
            (Stage::Generate, Some(provider), Some(model)) if **model != *EXTRACTIVE => {
                self.inference(span, provider, model, &mut attributes);
                (format!("chat {model}"), SpanKind::Client)
            }
            (Stage::Retrieve, ..) => {
                attributes.push(KeyValue::new("gen_ai.operation.name", "retrieval"));
                ("retrieval".to_owned(), SpanKind::Internal)
            }
            (Stage::Tool, ..) => {
                let tool = self.route.as_deref().unwrap_or("_OTHER");
                attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
                attributes.push(KeyValue::new("gen_ai.tool.name", tool));
                (format!("execute_tool {tool}"), SpanKind::Internal)
            }
            _ => (stage.to_owned(), SpanKind::Internal),
        };
        let time = (span.start, span.start.saturating_add(span.duration));
        proto::Span {
            flags: self.flags() | PARENT_IS_KNOWN,
            name,
            parent_span_id: self.span_id(0),
            ..self.span(number, kind, time, failed, attributes)
        }
    }

    /// The call of a model.
    fn inference(&self, span: Span, provider: &str, model: &str, attributes: &mut Vec<KeyValue>) {
        attributes.extend([
            KeyValue::new("gen_ai.operation.name", "chat"),
            KeyValue::new("gen_ai.provider.name", provider),
            KeyValue::new("gen_ai.request.model", model),
        ]);
        if let Some(usage) = self.usage {
            attributes.push(KeyValue::new("gen_ai.usage.input_tokens", usage.input_tokens));
            attributes.push(KeyValue::new("gen_ai.usage.output_tokens", usage.output_tokens));
            attributes.push(KeyValue::new("rag.usage.estimated", usage.estimated));
        }
        if let Outcome::Completed(finish @ (Finish::Stop | Finish::Length)) = &self.outcome {
            attributes
                .push(KeyValue::new("gen_ai.response.finish_reasons", Value::from_iter([finish.as_str()])));
        }
        if let Some(first) = self.ttft.and_then(|ttft| ttft.checked_sub(span.start)) {
            attributes.push(KeyValue::new("gen_ai.response.time_to_first_chunk", first.as_secs_f64()));
        }
        if let Some(session) = self.session {
            attributes.push(KeyValue::new("gen_ai.conversation.id", &*session.to_string()));
        }
    }

    fn span(
        &self,
        number: u64,
        kind: SpanKind,
        (start, end): (Duration, Duration),
        failed: bool,
        attributes: Vec<KeyValue>,
    ) -> proto::Span {
        let at =
            |time: Duration| self.began.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let code = if failed { StatusCode::Error } else { StatusCode::Unset };
        proto::Span {
            trace_id: self.trace_id().to_vec(),
            span_id: self.span_id(number),
            parent_span_id: Vec::new(),
            name: String::new(),
            kind: kind.into(),
            start_time_unix_nano: at(start),
            end_time_unix_nano: at(end),
            attributes,
            status: Some(proto::Status { code: code.into() }),
            flags: 0,
        }
    }

    /// Sampled; and random, as level 2 of W3C's trace context says, where the trace id is ours.
    fn flags(&self) -> u32 {
        if self.parent.is_some() { 1 } else { 3 }
    }

    /// The caller's, else the ask's own id.
    fn trace_id(&self) -> [u8; 16] {
        self.parent.map_or(self.id.as_uuid().into_bytes(), |parent| parent.trace_id())
    }

    /// The second half of the ask's id, counted on: no two of a trace are the same, and the same ask always has the same.
    fn span_id(&self, number: u64) -> Vec<u8> {
        let (_, low) = self.id.as_uuid().as_u64_pair();
        low.wrapping_add(number).max(1).to_be_bytes().to_vec()
    }
}

/// True when an ask is among the share that becomes spans. The last four bytes of its trace id are random:
/// those before them count where several ids are made in a millisecond.
pub(super) fn is_sampled(row: &TraceRow, ratio: f64, by_parent: bool) -> bool {
    if let Some(parent) = row.parent.filter(|_| by_parent) {
        return parent.is_sampled();
    }
    let id = row.parent.map_or(row.trace_id.as_uuid().into_bytes(), |parent| parent.trace_id());
    let random = id[12..].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    ratio >= 1.0 || (random as f64) < ratio * (1_u64 << 32) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Usage;
    use crate::error::ErrorKind;

    fn row(outcome: Outcome) -> TraceRow {
        let ms = Duration::from_millis;
        let mut row = TraceRow::new(AskId::generate(), TenantId::named("a"), outcome, ms(100));
        row.spans = vec![
            Span { stage: Stage::Retrieve, start: ms(5), duration: ms(20) },
            Span { stage: Stage::Generate, start: ms(30), duration: ms(60) },
        ];
        row.question = Some("a secret question".into());
        row.answer = Some("a secret answer".into());
        row.error = Some("a secret error".into());
        (row.llm_provider, row.llm_model) = (Some("openai".into()), Some("m".into()));
        row.usage = Some(Usage { input_tokens: 7, output_tokens: 3, estimated: false });
        row.ttft = Some(ms(40));
        row
    }

    fn spans(row: &TraceRow) -> Vec<proto::Span> {
        Ended::new(row, false).spans().collect()
    }

    fn value(span: &proto::Span, key: &str) -> Option<Value> {
        let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.clone()?.value
    }

    #[test]
    fn stages_are_below_their_ask_and_nothing_that_was_said_is_in_them() {
        let row = row(Outcome::Completed(Finish::Stop));
        let all = spans(&row);
        let names: Vec<&str> = all.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["invoke_workflow ask", "retrieval", "chat m"]);
        assert_eq!(all[0].trace_id, row.trace_id.as_uuid().as_bytes());
        assert!(all[0].parent_span_id.is_empty());
        for stage in &all[1..] {
            assert_eq!((&stage.trace_id, &stage.parent_span_id), (&all[0].trace_id, &all[0].span_id));
            assert!(stage.start_time_unix_nano >= all[0].start_time_unix_nano);
            assert!(stage.end_time_unix_nano <= all[0].end_time_unix_nano);
        }
        assert_ne!(all[1].span_id, all[2].span_id);
        assert_eq!(all[0].end_time_unix_nano - all[0].start_time_unix_nano, 100_000_000);
        let chat = &all[2];
        assert_eq!(chat.kind, i32::from(SpanKind::Client));
        assert_eq!(value(chat, "gen_ai.usage.input_tokens"), Some(Value::Int(7)));
        assert_eq!(value(chat, "gen_ai.response.finish_reasons"), Some(Value::from_iter(["stop"])));
        assert_eq!(value(chat, "gen_ai.response.time_to_first_chunk"), Some(Value::Double(0.01)));
        assert_eq!(value(&all[0], "rag.tenant.id"), None);
        assert!(!format!("{all:?}").contains("secret"), "{all:?}");
        let told = Ended::new(&row, true).root();
        assert_eq!(value(&told, "rag.tenant.id"), Some((&*row.tenant_id.to_string()).into()));
    }

    #[test]
    fn a_failure_is_on_the_ask_and_on_its_stage() {
        let all = spans(&row(Outcome::Failed(ErrorKind::ProviderInvalid, Stage::Generate)));
        let error = Some(Value::from("provider_invalid"));
        let codes: Vec<i32> = all.iter().map(|span| span.status.unwrap().code).collect();
        assert_eq!(codes, [2, 0, 2]);
        assert_eq!((value(&all[0], "error.type"), value(&all[2], "error.type")), (error.clone(), error));
        assert_eq!(value(&all[1], "error.type"), None);
        let abstained = spans(&row(Outcome::Completed(Finish::OutOfDomain)));
        assert_eq!(abstained[0].status.unwrap().code, 0);
    }

    #[test]
    fn an_extractive_answer_is_no_call_of_a_model() {
        let mut row = row(Outcome::Completed(Finish::Stop));
        (row.llm_provider, row.llm_model) = (Some(EXTRACTIVE.into()), Some(EXTRACTIVE.into()));
        let all = spans(&row);
        assert_eq!((&*all[2].name, all[2].kind), ("generate", i32::from(SpanKind::Internal)));
        assert_eq!(value(&all[2], "gen_ai.operation.name"), None);
    }

    #[test]
    fn below_a_caller_s_span_the_trace_is_the_caller_s() {
        let mut row = row(Outcome::Completed(Finish::Stop));
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        row.parent = Parent::parse(header);
        let all = spans(&row);
        assert_eq!(all[0].parent_span_id, row.parent.unwrap().span_id());
        assert!(all.iter().all(|span| span.trace_id == row.parent.unwrap().trace_id()));
        assert!(is_sampled(&row, 0.0, true));
        assert!(!is_sampled(&row, 0.0, false));
        row.parent = Parent::parse(&header.replace("-01", "-00"));
        assert!(!is_sampled(&row, 1.0, true));
    }

    #[test]
    fn a_share_of_asks_is_about_that_many() {
        let rows: Vec<TraceRow> = (0..2_000).map(|_| row(Outcome::Truncated)).collect();
        let taken = |ratio| rows.iter().filter(|row| is_sampled(row, ratio, true)).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, 2_000));
        assert!((300..700).contains(&taken(0.25)), "{}", taken(0.25));
    }
}
