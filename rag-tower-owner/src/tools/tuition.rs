//! A question about fees in, the fee with its discounts and instalments out.

use rag_tower::{Answer, Ask, Error};

use super::matter::Matter;
use super::quote::{Payment, Quote, Reason, quote};
use super::reply::{ask_back, cited, name, no_courses, note};
use super::text::Language;
use super::wishes::wishes;
use crate::tenant_data::{Course, TenantData};

/// The name of the tool.
const TOOL: &str = "tuition_calculator";

/// A question about fees in, the fee with its discounts and instalments out: exact, from the tenant's own courses.
///
/// It understands courses by id, name, alias or figure ("IELTS 6.5"), numbers of learners, the discounts that the
/// question claims, and paying in instalments, in Vietnamese with or without diacritics and in English, and answers in the
/// question's language. When the course is missing or unclear it lists those that may be meant and asks. Each number it
/// computes is in `tool_metadata`: `courses` (`course_id`, `list_fee_vnd`, `learners`, `discounts` with `percent` and
/// `amount_vnd`, `refused` with a `reason`, `fee_each_vnd`, `total_vnd`, `instalments_vnd`) and `total_vnd`.
///
/// Percentages are taken from the list fee and added, within the tenant's limits; amounts are rounded down to whole
/// dong; the last instalment is what remains of the total.
///
/// # Errors
/// None but for a fact that cannot be written as JSON, which is a fault of ours.
pub fn tuition_calculator(data: &TenantData, ask: &Ask) -> Result<Answer, Error> {
    let language = Language::of(ask.question().as_str(), ask.history().map(|history| &**history));
    if data.courses.is_empty() {
        return Ok(no_courses(ask, language));
    }
    let matter = Matter::of(data, ask, TOOL);
    let course = |place: &usize| data.courses.get(*place);
    let courses: Vec<&Course> = matter.mentions.found.iter().filter_map(course).collect();
    let unclear: Vec<&Course> = matter.mentions.unclear.iter().filter_map(course).collect();
    if courses.is_empty() || !unclear.is_empty() {
        let candidates = if unclear.is_empty() { data.courses.iter().collect() } else { unclear };
        let question = language.pick("Which course do you mean?", "Bạn muốn tính học phí khoá nào?");
        return Ok(ask_back(ask, TOOL, matter.answers_us, data, language, question, &candidates));
    }
    let wishes = wishes(data, &matter.words, &matter.mentions.taken);
    let quotes: Vec<Quote<'_>> = courses.iter().map(|course| quote(data, course, &wishes)).collect();
    let total = quotes.iter().map(|quote| quote.total_vnd).fold(0, u64::saturating_add);
    note(ask, "courses", &quotes)?;
    note(ask, "learners_given", wishes.learners.is_some())?;
    note(ask, "total_vnd", total)?;
    let in_parts = wishes.payment != Payment::Full;
    let mut text: Vec<String> = courses
        .iter()
        .zip(&quotes)
        .map(|(course, quote)| tell(data, course, quote, in_parts, language))
        .collect();
    if quotes.len() > 1 {
        text.push(format!("**{}: {}**", language.pick("Together", "Tổng các khoá"), language.vnd(total)));
    }
    Ok(cited(ask, data, language, text.join("\n\n"), &courses))
}

/// One course's fee in words.
fn tell(data: &TenantData, course: &Course, quote: &Quote<'_>, in_parts: bool, language: Language) -> String {
    let vnd = |amount| language.vnd(amount);
    let each = language.pick("per learner", "mỗi học viên");
    let mut lines = vec![format!(
        "**{}**: {} {} {each} [1]",
        name(course, language),
        language.pick("list fee", "học phí niêm yết"),
        vnd(quote.list_fee_vnd)
    )];
    for applied in &quote.discounts {
        let cut = if applied.percent < applied.discount.percent {
            let of = language.pick("of its", "trong mức");
            let cap = language.pick("because of the limit of", "vì tổng mức giảm tối đa");
            format!(" {of} {}%, {cap} {}%", applied.discount.percent, data.stacking.max_percent)
        } else {
            String::new()
        };
        lines.push(format!(
            "- {} {}%{cut}: −{} ({})",
            language.pick("Discount of", "Giảm"),
            applied.percent,
            vnd(applied.amount_vnd),
            language.pick(&applied.discount.when_en, &applied.discount.when_vi),
        ));
    }
    for refused in &quote.refused {
        lines.push(format!(
            "- {} {}% ({}): {}",
            language.pick("Not applied:", "Không áp dụng mức giảm"),
            refused.discount.percent,
            language.pick(&refused.discount.when_en, &refused.discount.when_vi),
            reason(refused.reason, refused.discount.min_learners, language),
        ));
    }
    if !quote.discounts.is_empty() {
        lines.push(format!(
            "- **{}: {} {each}**",
            language.pick("To pay", "Còn lại"),
            vnd(quote.fee_each_vnd)
        ));
    }
    if quote.learners > 1 {
        let learners = language.pick("learners", "học viên");
        let total = language.pick("Total for", "Tổng cộng cho");
        lines.push(format!("- **{total} {} {learners}: {}**", quote.learners, vnd(quote.total_vnd)));
    }
    if let Some(plan) = quote.plan {
        let dues = match language {
            Language::English => &plan.due_en,
            Language::Vietnamese => &plan.due_vi,
        };
        let parts: Vec<String> = quote
            .instalments_vnd
            .iter()
            .zip(&plan.percents)
            .zip(dues)
            .map(|((amount, percent), due)| format!("{} ({percent}%, {due})", vnd(*amount)))
            .collect();
        let how = language.pick("instalments", "đợt");
        let pay = language.pick("Paid in", "Đóng");
        lines.push(format!("- {pay} {} {how}: {}", parts.len(), parts.join("; ")));
    } else if in_parts {
        lines.push(language.pick("- This course is paid at once.", "- Khoá này đóng một lần.").into());
    }
    lines.extend(hints(data, course, quote, language));
    lines.join("\n")
}

/// Discounts for several learners that nobody has claimed though there are enough of them.
fn hints(data: &TenantData, course: &Course, quote: &Quote<'_>, language: Language) -> Vec<String> {
    if data.stacking.excluded_courses.contains(&course.id) || !quote.discounts.is_empty() {
        return Vec::new();
    }
    data.discounts
        .iter()
        .filter(|discount| (2..=quote.learners).contains(&discount.min_learners))
        .filter(|discount| !discount.excluded_courses.contains(&course.id))
        .filter(|discount| !quote.refused.iter().any(|refused| refused.id == discount.id))
        .map(|discount| {
            let perhaps = language.pick("Perhaps also", "Có thể được giảm");
            let off = language.pick("% off", "%");
            let when = language.pick(&discount.when_en, &discount.when_vi);
            format!("- {perhaps} {}{off}: {when}", discount.percent)
        })
        .collect()
}

fn reason(reason: Reason, min_learners: u32, language: Language) -> String {
    match reason {
        Reason::Course => language.pick("not on this course", "khoá này không áp dụng").into(),
        Reason::FullPayment => language
            .pick(
                "needs the full fee at once, so not with instalments",
                "cần đóng đủ một lần nên không đi cùng trả góp",
            )
            .into(),
        Reason::Limit => {
            language.pick("above the limit of combined discounts", "vượt giới hạn cộng ưu đãi").into()
        }
        Reason::Learners => match language {
            Language::English => format!("needs at least {min_learners} learners"),
            Language::Vietnamese => format!("cần ít nhất {min_learners} học viên"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rag_tower::{AbstainReason, BoxAskService, Finish};
    use serde_json::json;

    use super::super::service::ToolService;
    use super::super::testing::{Told, book, conversation, tell};
    use super::*;
    use crate::tenant_data::InMemoryBook;

    fn calculator() -> ToolService<InMemoryBook> {
        ToolService::new(Arc::new(book()), tuition_calculator)
    }

    async fn ask(question: &str) -> Told {
        tell(calculator(), "a", None, question).await
    }

    #[tokio::test]
    async fn the_price_lists_own_examples_come_out() {
        for (question, total, says) in [
            ("Học phí IELTS 6.5 là bao nhiêu?", 10_500_000, "10.500.000 đ"),
            ("hoc phi ielts 6.5 dang ky som", 9_450_000, "9.450.000 đ"),
            ("IELTS 6.5 early bird with a student card, how much?", 8_925_000, "8,925,000 VND"),
            ("ielts 7.0 dang ky som theo nhom 3 nguoi", 33_120_000, "11.040.000 đ mỗi học viên"),
            ("Hai bé cùng học Movers được giảm bao nhiêu?", 14_040_000, "7.020.000 đ mỗi học viên"),
            ("What is the total for two children in Flyers?", 17_200_000, "17,200,000 VND"),
            (
                "How much is IELTS 5.5 in two instalments?",
                8_400_000,
                "5,040,000 VND (60%, before the course opens); 3,360,000 VND",
            ),
            ("ielts 7.0 tra gop 3 dot", 13_800_000, "5.520.000 đ (40%, trước khai giảng); 4.140.000 đ"),
            ("TOEIC 650 trả góp được không, học phí bao nhiêu", 4_500_000, "Khoá này đóng một lần"),
            ("Em là sinh viên học TOEIC 650 thì đóng bao nhiêu tiền?", 4_275_000, "4.275.000 đ"),
            ("gia hoc kem 1-1 bao nhieu mot goi", 12_000_000, "12.000.000 đ"),
            ("fee for movers with student card", 7_800_000, "not on this course"),
            ("IELTS 6.5 for 3 people, how much?", 31_500_000, "Perhaps also 12% off"),
            ("IELTS 6.5 và TOEIC 800 tổng cộng bao nhiêu?", 16_200_000, "Tổng các khoá: 16.200.000 đ"),
        ] {
            let told = ask(question).await;
            assert_eq!(told.metadata["total_vnd"], total, "{question}: {}", told.text);
            assert!(told.text.contains(says), "{question}: {}", told.text);
            assert_eq!(told.finish, Finish::Stop);
            let file = if says.contains("VND") || question.is_ascii() && told.text.contains("learner") {
                "fees-and-discounts.md"
            } else {
                "hoc-phi-va-uu-dai.md"
            };
            assert_eq!(told.sources, [file], "{question}");
        }
    }

    #[tokio::test]
    async fn every_computed_number_is_on_the_trace() {
        let told = ask("IELTS 7.0, nhóm 3 người, sinh viên, đóng 3 đợt").await;
        assert_eq!(
            serde_json::Value::Object(told.metadata),
            json!({
                "courses": [{
                    "course_id": "ielts-7-0", "list_fee_vnd": 13_800_000, "learners": 3,
                    "discounts": [
                        { "id": "group", "percent": 12, "amount_vnd": 1_656_000 },
                        { "id": "student", "percent": 5, "amount_vnd": 690_000 },
                    ],
                    "discount_percent": 17, "fee_each_vnd": 11_454_000, "total_vnd": 34_362_000,
                    "instalments_vnd": [13_744_800, 10_308_600, 10_308_600],
                }],
                "learners_given": true,
                "total_vnd": 34_362_000,
            })
        );
    }

    #[tokio::test]
    async fn early_bird_and_instalments_exclude_each_other() {
        let told = ask("IELTS 7.0 early bird in 3 instalments").await;
        let quote = &told.metadata["courses"][0];
        assert_eq!(
            (&quote["total_vnd"], &quote["refused"][0]["reason"]),
            (&json!(13_800_000), &json!("full_payment"))
        );
        assert!(told.text.contains("needs the full fee at once"), "{}", told.text);
    }

    #[tokio::test]
    async fn t14_another_tenants_fees_are_never_used() {
        let told = tell(calculator(), "b", None, "How much is IELTS 6.5?").await;
        assert_eq!(told.metadata["total_vnd"], 1_000_000);
        for tenant in ["docs", "nobody"] {
            let told = tell(calculator(), tenant, None, "How much is IELTS 6.5?").await;
            assert_eq!(told.finish, Finish::Abstained(AbstainReason::NoDocuments));
            assert!(told.metadata.is_empty() && told.sources.is_empty() && !told.text.contains("500"));
        }
    }

    #[tokio::test]
    async fn a_missing_or_unclear_course_is_asked_for_and_the_next_turn_completes() {
        let tool = BoxAskService::new(calculator());
        let chat = conversation(vec![(TOOL, tool)]);
        let first = tell(chat.clone(), "a", None, "Học phí IELTS đăng ký sớm là bao nhiêu?").await;
        assert_eq!(first.route.as_deref(), Some(TOOL));
        assert!(
            first.text.contains("khoá nào") && first.text.contains("IELTS 7.0: 13.800.000 đ"),
            "{}",
            first.text
        );
        assert_eq!(first.metadata["candidates"].as_array().unwrap().len(), 4);
        assert!(!first.text.contains("TOEIC"));

        let session = first.facts.session;
        let second = tell(chat.clone(), "a", session, "6.5").await;
        assert_eq!(second.metadata["total_vnd"], 9_450_000, "{}", second.text);
        assert!(second.text.contains("9.450.000 đ"), "{}", second.text);

        let third = tell(chat.clone(), "a", session, "còn 2 người thì sao?").await;
        assert_eq!(third.metadata["total_vnd"], 18_900_000, "{}", third.text);
    }

    #[tokio::test]
    async fn who_changes_the_subject_is_held_for_one_turn_only() {
        let tool = BoxAskService::new(calculator());
        let chat = conversation(vec![(TOOL, tool)]);
        let first = tell(chat.clone(), "a", None, "How much does it cost?").await;
        assert_eq!(first.metadata["candidates"].as_array().unwrap().len(), 12);
        let session = first.facts.session;
        let second = tell(chat.clone(), "a", session, "What are your opening hours?").await;
        assert!(second.text.contains("Which course") && second.facts.pending.is_none());
        let third = tell(chat, "a", session, "What are your opening hours?").await;
        assert_eq!(third.text, "searched");
    }

    #[tokio::test]
    async fn a_question_for_another_tool_is_no_answer_to_ours() {
        let comparison = ToolService::new(Arc::new(book()), super::super::comparison::comparison);
        let tools =
            vec![(TOOL, BoxAskService::new(calculator())), ("comparison", BoxAskService::new(comparison))];
        let chat = conversation(tools);
        let first = tell(chat.clone(), "a", None, "How much does it cost?").await;
        assert!(first.facts.pending.is_some());
        let second = tell(chat, "a", first.facts.session, "Compare IELTS 6.5 and IELTS 7.0").await;
        assert_eq!(second.facts.route.as_deref(), Some("comparison"), "{}", second.text);
    }
}
