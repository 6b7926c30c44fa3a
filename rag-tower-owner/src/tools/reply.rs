//! What the tools' answers share.

use std::sync::Arc;

use rag_tower::memory::Pending;
use rag_tower::passage::{ChunkId, DocumentId};
use rag_tower::{AbstainReason, Answer, Ask, Error, Event, Finish, Scoped, Source, Stage};
use serde::Serialize;
use serde_json::json;

use super::text::Language;
use crate::tenant_data::{Course, TenantData};

/// The longest list of courses in a question back.
const MAX_LISTED: usize = 30;

/// An answer that cites the price list as `[1]`.
pub(super) fn cited(
    ask: &Ask,
    data: &TenantData,
    language: Language,
    text: String,
    courses: &[&Course],
) -> Answer {
    let sources = Event::Sources(Arc::from([price_list(ask, data, language, courses)]));
    Answer::ready(ask.id(), vec![sources, Event::Delta(text.into()), Event::Finished(Finish::Stop)])
}

/// The answer for a tenant without courses.
pub(super) fn no_courses(ask: &Ask, language: Language) -> Answer {
    let text = language.pick(
        "I have no price list to calculate with. Please ask a member of staff.",
        "Tôi chưa có bảng học phí để tính. Bạn hãy hỏi nhân viên nhé.",
    );
    Answer::text(ask.id(), text, Finish::Abstained(AbstainReason::NoDocuments))
}

/// Asks which course is meant, with a list. The next turn comes back here, once: who then says something else is not
/// held any longer.
pub(super) fn ask_back(
    ask: &Ask,
    tool: &str,
    again: bool,
    data: &TenantData,
    language: Language,
    question: &str,
    candidates: &[&Course],
) -> Answer {
    if !again {
        ask.trace().set_pending(Pending {
            tool: tool.into(),
            state: json!({ "waiting_for": "course" }),
            yields: true,
        });
    }
    ask.trace().set_tool_metadata("waiting_for", "course");
    ask.trace().set_tool_metadata("candidates", ids(candidates));
    let mut text = format!("{question} [1]\n");
    for course in candidates.iter().take(MAX_LISTED) {
        text += &format!("\n- {}: {}", name(course, language), language.vnd(course.fee_vnd));
    }
    cited(ask, data, language, text, candidates)
}

/// The ids of courses.
pub(super) fn ids(courses: &[&Course]) -> Vec<String> {
    courses.iter().map(|course| course.id.clone()).collect()
}

/// A course's name.
pub(super) fn name(course: &Course, language: Language) -> &str {
    language.pick(&course.name_en, &course.name_vi)
}

/// Puts a computed fact on the trace.
pub(super) fn note(ask: &Ask, key: &str, value: impl Serialize) -> Result<(), Error> {
    let value =
        serde_json::to_value(value).map_err(|error| Error::internal(Stage::Tool, error.to_string()))?;
    ask.trace().set_tool_metadata(key, value);
    Ok(())
}

/// The document that the fees can be read in: the one in the answer's language, else the other, else the structured list
/// itself.
fn price_list(ask: &Ask, data: &TenantData, language: Language, courses: &[&Course]) -> Source {
    let (en, vi) = (data.price_list.en.as_ref(), data.price_list.vi.as_ref());
    let named = match language {
        Language::English => en.or(vi),
        Language::Vietnamese => vi.or(en),
    };
    let (file_name, title) = named
        .map_or(("price-list", language.pick("Price list", "Bảng học phí")), |document| {
            (document.file.as_str(), document.title.as_str())
        });
    let tenant = ask.scope().tenant();
    let doc_id = DocumentId::named(tenant, file_name);
    let fees: Vec<String> = courses
        .iter()
        .take(MAX_LISTED)
        .map(|course| format!("{}: {}", name(course, language), language.vnd(course.fee_vnd)))
        .collect();
    Source {
        n: 1,
        doc_id,
        file_name: file_name.into(),
        title: title.into(),
        chunk: ChunkId::of(tenant, doc_id, 0),
        snippet: fees.join("; ").into(),
        score: 1.0,
    }
}
