use futures_util::StreamExt;
use tower::ServiceExt;

use super::*;
use crate::generate::test_util::{passage, request};

async fn answer(question: &str, texts: &[&str]) -> Vec<Event> {
    let passages = texts.iter().enumerate().map(|(at, text)| passage(at, "doc", text)).collect();
    let events = Extractive::new().oneshot(request(question, passages)).await.unwrap();
    events.map(Result::unwrap).collect().await
}

fn text(events: &[Event]) -> String {
    events
        .iter()
        .filter_map(|event| if let Event::Delta(text) = event { Some(&**text) } else { None })
        .collect()
}

#[tokio::test]
async fn the_sentence_that_answers_comes_with_its_citation() {
    let events = answer(
        "What is the refund policy?",
        &[
            "Classes begin at nine. Parking is free on Sundays.",
            "The desk opens at eight. The refund policy returns 70 % before the first lesson.",
        ],
    )
    .await;
    assert!(
        text(&events).starts_with("The refund policy returns 70 % before the first lesson. [2]"),
        "{events:?}"
    );
    assert!(matches!(events.last(), Some(Event::Finished(Finish::Stop))));
    let Some(Event::Usage(usage)) = events.get(events.len() - 2) else { panic!("no usage: {events:?}") };
    assert!(usage.estimated && usage.output_tokens == estimate_tokens(&text(&events)));
}

#[tokio::test]
async fn vietnamese_without_accents_finds_vietnamese_with_them() {
    let passages =
        ["Trung tâm mở cửa lúc 8 giờ.", "Học phí khoá này là 10.500.000 đồng. Lớp có 12 học viên."];
    let events = answer("hoc phi bao nhieu", &passages).await;
    assert!(text(&events).starts_with("Học phí khoá này là 10.500.000 đồng. [2]"), "{events:?}");
}

#[tokio::test]
async fn rows_and_items_stay_readable_under_their_heading() {
    let table =
        "## Fees\n| Course | Fee |\n|---|---|\n| IELTS 6.5 | 10,500,000 |\n| TOEIC 650 | 4,500,000 |\n";
    let events = answer("fee of IELTS 6.5", &[table]).await;
    assert!(text(&events).contains("Fees: Course: IELTS 6.5; Fee: 10,500,000 [1]"), "{events:?}");
}

#[tokio::test]
async fn a_repeated_sentence_is_said_once() {
    let same = "The refund policy returns 70 % before the first lesson.";
    let said = text(&answer("refund policy", &[same, same, same]).await);
    assert_eq!(said, format!("{same} [1]"));
}

#[tokio::test]
async fn another_language_still_gets_the_best_passage() {
    let events =
        answer("wie viel kostet das", &["Học phí là 10 triệu đồng một khoá.", "Lớp học ở tầng ba."]).await;
    assert!(text(&events).starts_with("Học phí là 10 triệu đồng một khoá. [1]"), "{events:?}");
}

#[tokio::test]
async fn it_says_only_what_a_passage_says() {
    let passages =
        ["One two three. Four five six seven.", "Eight nine ten eleven. Twelve thirteen fourteen."];
    let said = text(&answer("two nine thirteen six", &passages).await);
    let mut quotes = 0;
    for quote in said.split_inclusive(']') {
        let (quote, n) = quote.trim_end_matches(']').rsplit_once(" [").unwrap();
        assert!(passages[n.parse::<usize>().unwrap() - 1].contains(quote.trim()), "{quote}");
        quotes += 1;
    }
    assert!((1..=4).contains(&quotes));
}

#[tokio::test]
async fn streams_a_delta_a_sentence_and_abstains_without_passages() {
    let several =
        answer("fee refund", &["The fee is ten. The refund is five. Both fee and refund are due."]).await;
    assert!(several.iter().filter(|event| matches!(event, Event::Delta(_))).count() > 1, "{several:?}");
    let none = answer("fee", &[]).await;
    assert_eq!(none, [Event::Finished(Finish::Abstained(AbstainReason::NoDocuments))]);
}

#[tokio::test]
async fn the_row_says_who_answered() {
    let request = request("fee", vec![passage(0, "doc", "The fee is ten.")]);
    let trace = request.trace.clone();
    let _events = Extractive::new().oneshot(request).await.unwrap();
    assert_eq!(trace.snapshot().llm_provider.as_deref(), Some("extractive"));
}

#[tokio::test]
async fn the_kind_of_answer_that_is_wanted_decides_among_likely_sentences() {
    let passages = [
        "The boat to the island is painted green. The boat to the island leaves at 7.40 from pier 3.\n\n\
                     Captain of the boat to the island is Marta Oyelaran. The boat to the island has a small café.",
    ];
    for (question, expected) in [
        ("When does the boat to the island leave?", "leaves at 7.40"),
        ("Who is the captain of the boat to the island?", "Marta Oyelaran"),
    ] {
        assert!(text(&answer(question, &passages).await).contains(expected), "{question}");
    }
    let two = ["The harbour tour lasts long. The harbour tour costs 12 crowns."];
    assert!(text(&answer("How much is the harbour tour?", &two).await).contains("12 crowns"));
}

#[tokio::test]
async fn words_that_only_ask_or_join_do_not_choose() {
    let passages = [
        "Which of them there are is what there is to ask. What is there and which are there?",
        "Pottery courses run in the mill house: Beginners, Glazing and Wheel Throwing.",
    ];
    let said = text(&answer("Which pottery courses are there?", &passages).await);
    assert!(said.starts_with("Pottery courses run in the mill house"), "{said}");
}

#[tokio::test]
async fn scripts_without_spaces_find_their_sentence() {
    let chinese = ["图书馆在三楼。游泳馆每天早上六点开门，晚上九点关门。停车免费。"];
    assert!(text(&answer("游泳馆几点开门？", &chinese).await).starts_with("游泳馆每天早上六点开门"));
    let persian = ["قهوه‌خانه در طبقه دوم است. بلیت موزه چهل هزار تومان است و ۲۰ درصد تخفیف دارد."];
    assert!(text(&answer("بلیت موزه چند تومان است؟", &persian).await).contains("چهل هزار تومان"));
}

#[tokio::test]
async fn a_word_in_another_form_and_the_sentence_after_the_topic_count() {
    let passages = [
        "The archive keeps letters of the mill owners. It was founded in 1874 by two sisters. Visitors wear gloves.",
        "Cycling is allowed on the dam.",
    ];
    let said = text(&answer("When was the archive of the mill founded?", &passages).await);
    assert!(said.contains("1874"), "{said}");
    let said = text(&answer("Are cyclists allowed?", &passages).await);
    assert!(said.contains("Cycling is allowed"), "{said}");
}
