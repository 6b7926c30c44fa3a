//! A question that names courses in, their figures side by side out.

use rag_tower::{Answer, Ask, Error};
use serde::Serialize;

use super::matter::Matter;
use super::reply::{ask_back, cited, name, no_courses, note};
use super::text::Language;
use crate::tenant_data::{Course, TenantData};

/// The name of the tool.
const TOOL: &str = "comparison";
/// More courses than this make no readable table; the first ones are compared.
const MAX_COLUMNS: usize = 6;

/// One column. Amounts are dong.
#[derive(Serialize)]
struct Column<'a> {
    course_id: &'a str,
    fee_vnd: u64,
    sessions: u32,
    hours: u32,
    weeks: u32,
    class_size: u32,
    fee_per_hour_vnd: u64,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    level: &'a str,
}

/// A question that names two or more courses in, a table of their figures side by side out.
///
/// Fee, lessons, hours, weeks, class size and fee per hour (rounded to the nearest dong), from the tenant's own courses, as
/// a Markdown table in the question's language; the numbers are in `tool_metadata` under `courses`. With fewer than two
/// courses, or with one that is unclear, it lists those that may be meant and asks.
///
/// # Errors
/// None but for a fact that cannot be written as JSON, which is a fault of ours.
pub fn comparison(data: &TenantData, ask: &Ask) -> Result<Answer, Error> {
    let language = Language::of(ask.question().as_str(), ask.history().map(|history| &**history));
    if data.courses.is_empty() {
        return Ok(no_courses(ask, language));
    }
    let matter = Matter::of(data, ask, TOOL);
    let course = |place: &usize| data.courses.get(*place);
    let mut courses: Vec<&Course> = matter.mentions.found.iter().filter_map(course).collect();
    let unclear: Vec<&Course> = matter.mentions.unclear.iter().filter_map(course).collect();
    if courses.len() < 2 || !unclear.is_empty() {
        let known: Vec<&str> = courses.iter().map(|course| name(course, language)).collect();
        let others =
            || data.courses.iter().filter(|course| !courses.iter().any(|named| named.id == course.id));
        let candidates = if unclear.is_empty() { others().collect() } else { unclear };
        let question = match (known.is_empty(), language) {
            (true, Language::English) => "Which courses do you want to compare?".into(),
            (true, Language::Vietnamese) => "Bạn muốn so sánh những khoá nào?".into(),
            (false, Language::English) => {
                format!("Which course do you want to compare with {}?", known.join(", "))
            }
            (false, Language::Vietnamese) => format!("Bạn muốn so sánh {} với khoá nào?", known.join(", ")),
        };
        return Ok(ask_back(ask, TOOL, matter.answers_us, data, language, &question, &candidates));
    }
    courses.truncate(MAX_COLUMNS);
    let columns: Vec<Column<'_>> = courses.iter().map(|course| Column::new(course, language)).collect();
    note(ask, "courses", &columns)?;
    Ok(cited(ask, data, language, table(&columns, language), &courses))
}

fn table(columns: &[Column<'_>], language: Language) -> String {
    let mut text = String::new();
    let mut row = |head: &str, cell: &dyn Fn(&Column<'_>) -> String| {
        let cells: Vec<String> = columns.iter().map(cell).collect();
        text += &format!("| {head} | {} |\n", cells.join(" | "));
    };
    row("", &|column| column.name.clone());
    row("---", &|_| "---".into());
    row(language.pick("Fee", "Học phí"), &|column| language.vnd(column.fee_vnd));
    row(language.pick("Level", "Trình độ"), &|column| cell(column.level));
    row(language.pick("Lessons", "Số buổi"), &|column| column.sessions.to_string());
    row(language.pick("Hours", "Số giờ"), &|column| column.hours.to_string());
    row(language.pick("Weeks", "Số tuần"), &|column| column.weeks.to_string());
    row(language.pick("Class size, at most", "Sĩ số tối đa"), &|column| column.class_size.to_string());
    row(language.pick("Fee per hour", "Học phí mỗi giờ"), &|column| {
        language.vnd(column.fee_per_hour_vnd)
    });
    text + "\n" + language.pick("Fees as in the price list [1].", "Học phí theo bảng giá [1].")
}

/// A text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

// === impl Column ===

impl<'a> Column<'a> {
    fn new(course: &'a Course, language: Language) -> Self {
        let hours = u64::from(course.hours.max(1));
        Self {
            course_id: &course.id,
            fee_vnd: course.fee_vnd,
            sessions: course.sessions,
            hours: course.hours,
            weeks: course.weeks,
            class_size: course.class_size,
            fee_per_hour_vnd: course.fee_vnd.saturating_add(hours / 2) / hours,
            name: cell(name(course, language)),
            level: &course.level,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rag_tower::BoxAskService;
    use serde_json::json;

    use super::super::service::ToolService;
    use super::super::testing::{Told, book, conversation, tell};
    use super::*;

    async fn ask(tenant: &str, question: &str) -> Told {
        tell(ToolService::new(Arc::new(book()), comparison), tenant, None, question).await
    }

    #[tokio::test]
    async fn two_courses_stand_side_by_side() {
        let told = ask("a", "So sánh khoá IELTS 5.5 và IELTS 6.5").await;
        assert_eq!(
            told.text,
            "|  | IELTS 5.5 | IELTS 6.5 |\n| --- | --- | --- |\n| Học phí | 8.400.000 đ | 10.500.000 đ |\n\
             | Trình độ | IELTS 4.0-4.5 -> 5.5 | IELTS 5.0-5.5 -> 6.5 |\n| Số buổi | 36 | 42 |\n| Số giờ | 72 | 84 |\n\
             | Số tuần | 12 | 14 |\n| Sĩ số tối đa | 12 | 12 |\n| Học phí mỗi giờ | 116.667 đ | 125.000 đ |\n\n\
             Học phí theo bảng giá [1]."
        );
        assert_eq!(
            told.metadata["courses"][1],
            json!({ "course_id": "ielts-6-5", "fee_vnd": 10_500_000, "sessions": 42, "hours": 84, "weeks": 14,
                    "class_size": 12, "fee_per_hour_vnd": 125_000 })
        );
        assert_eq!(told.sources, ["hoc-phi-va-uu-dai.md"]);
    }

    #[tokio::test]
    async fn courses_are_compared_as_people_name_them() {
        for (question, ids, says) in [
            ("ielts 6.5 va 7.0 khac nhau the nao", &["ielts-6-5", "ielts-7-0"][..], "Học phí"),
            ("nen hoc giao tiep hay tieng anh thuong mai", &["conversation", "business-english"], "Học phí"),
            (
                "What is the difference between TOEIC 650 and TOEIC 800?",
                &["toeic-650", "toeic-800"],
                "Fee per hour",
            ),
            (
                "Compare one-to-one lessons with the conversation class",
                &["one-to-one", "conversation"],
                "600,000 VND",
            ),
            ("starters, movers, flyers: compare", &["kids-starters", "kids-movers", "kids-flyers"], "Fee"),
        ] {
            let told = ask("a", question).await;
            let columns = told.metadata["courses"].as_array().unwrap();
            assert_eq!(
                columns.iter().map(|column| &column["course_id"]).collect::<Vec<_>>(),
                ids,
                "{question}"
            );
            assert!(told.text.contains(says), "{question}: {}", told.text);
        }
    }

    #[tokio::test]
    async fn t14_another_tenants_figures_are_never_used() {
        let told = ask("b", "Compare IELTS 5.5 and IELTS 6.5").await;
        assert_eq!(told.metadata["courses"][0]["fee_vnd"], 1_000_000);
        assert!(ask("docs", "Compare IELTS 5.5 and IELTS 6.5").await.metadata.is_empty());
    }

    #[tokio::test]
    async fn fewer_than_two_courses_are_asked_for_and_the_next_turn_completes() {
        let tool = BoxAskService::new(ToolService::new(Arc::new(book()), comparison));
        let chat = conversation(vec![(TOOL, tool)]);
        let first = tell(chat.clone(), "a", None, "So sánh IELTS 6.5 với khoá khác").await;
        assert!(first.text.starts_with("Bạn muốn so sánh IELTS 6.5 với khoá nào?"), "{}", first.text);
        assert_eq!(first.metadata["candidates"].as_array().unwrap().len(), 11);
        let second = tell(chat.clone(), "a", first.facts.session, "với 7.0").await;
        assert!(second.text.starts_with("|  | IELTS 6.5 | IELTS 7.0 |"), "{}", second.text);

        let unclear = tell(chat.clone(), "a", None, "nen hoc toeic hay ielts").await;
        assert_eq!(unclear.metadata["candidates"].as_array().unwrap().len(), 4);
        let clear = tell(chat, "a", unclear.facts.session, "nền tảng, tức là IELTS Foundation").await;
        assert!(clear.text.starts_with("|  | TOEIC 650 | IELTS Nền tảng |"), "{}", clear.text);
    }
}
