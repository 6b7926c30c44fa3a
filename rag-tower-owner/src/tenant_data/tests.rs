use std::path::Path;

use rag_tower::TenantScope;
use rag_tower::route::{Decision, RouteBook};
use serde_json::json;

use super::*;

fn demo(tenant: &str) -> TenantData {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(tenant).join("tenant.toml");
    TenantData::from_file(&path).unwrap()
}

fn scope(tenant: &str) -> TenantScope {
    rag_tower::test_util::scope(tenant)
}

#[test]
fn both_demo_tenants_are_read_and_come_back_from_json() {
    for (tenant, courses, routes) in [("language-centre", 12, 5), ("docs", 0, 3)] {
        let data = demo(tenant);
        assert_eq!((data.courses.len(), data.routes.len()), (courses, routes));
        let settings = data.to_settings().unwrap();
        assert!(settings.courses.get("route").is_none() && settings.routes["route"].is_array());
        assert_eq!(TenantData::from_settings(&settings).unwrap(), data);
    }
}

#[test]
fn a_tenant_that_has_configured_nothing_has_no_data() {
    let nothing = Settings { courses: json!({}), routes: json!({}) };
    assert_eq!(TenantData::from_settings(&nothing).unwrap(), TenantData::default());
    let list = Settings { courses: json!([]), routes: json!({}) };
    assert!(TenantData::from_settings(&list).is_err());
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_was_expected() {
    let right = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/language-centre/tenant.toml"),
    )
    .unwrap();
    for (found, put, expected) in [
        ("fee_vnd = 6_900_000", "fee_vnd = 0", "course \"ielts-foundation\": fee_vnd is 0: expected 1 to"),
        ("fee_vnd = 6_900_000", "fee_vnd = -1", "fee_vnd"),
        ("fee_vnd = 6_900_000", "fee = 6_900_000", "unknown field `fee`"),
        ("hours = 72", "hours = 0", "hours is 0: expected at least 1"),
        ("percent = 12", "percent = 101", "discount \"group\": percent is 101: expected 0 to 100"),
        ("max_percent = 20", "max_percent = 120", "stacking.max_percent is 120: expected 0 to 100"),
        ("id = \"ielts-5-5\"", "id = \"ielts-6-5\"", "course.id \"ielts-6-5\" is given twice"),
        ("id = \"sibling\"", "id = \"group\"", "discount.id \"group\" is given twice"),
        ("name = \"comparison\"", "name = \"create_ticket\"", "route.name \"create_ticket\" is given twice"),
        (
            "tool = \"comparison\"",
            "tool = \"compare\"",
            "route \"comparison\": tool is \"compare\": expected one of",
        ),
        ("tool = \"comparison\"\n", "", "route \"comparison\": tool is missing"),
        (
            "action = \"search\"",
            "action = \"search\"\ntool = \"comparison\"",
            "tool is given: expected it only with",
        ),
        ("action = \"search\"", "action = \"find\"", "unknown variant `find`"),
        (
            "[\"kids-starters\",",
            "[\"kids\",",
            "excluded_courses names \"kids\": expected the id of a [[course]]",
        ),
        (
            "branches = [\"hoan-kiem\",",
            "branches = [\"hue\",",
            "branches names \"hue\": expected the id of a [[branch]]",
        ),
        ("percents = [60, 40]", "percents = [60, 30]", "expected parts above 0 that add up to 100"),
        ("percents = [60, 40]", "percents = [100]", "percents has 1 parts: expected at least 2"),
        (
            "instalments = 3",
            "instalments = 4",
            "instalments is 4: expected 1, or an [[instalment_plan]] of 4 parts",
        ),
        ("slug = \"language-centre\"", "slug = \"Language Centre\"", "tenant.slug is \"Language Centre\""),
        ("[stacking]", "[stakcing]", "unknown field `stakcing`"),
    ] {
        assert!(right.contains(found), "{found}");
        let error =
            TenantData::from_toml(&right.replacen(found, put, 1), "tenant.toml").unwrap_err().to_string();
        assert!(error.starts_with("tenant.toml: ") && error.contains(expected), "{put}: {error}");
    }
    let bare =
        "[tenant]\nslug = \"a\"\nname = \"A\"\n[[route]]\nname = \"x\"\naction = \"search\"\nexamples = []";
    let error = TenantData::from_toml(bare, "a.toml").unwrap_err().to_string();
    assert!(error.contains("route \"x\": examples is empty"), "{error}");
    let error = TenantData::from_file(Path::new("/nowhere/tenant.toml")).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/tenant.toml: cannot be read");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn every_example_finds_its_own_route() {
    for tenant in ["language-centre", "docs"] {
        let data = demo(tenant);
        let routes = data.routes();
        for route in &data.routes {
            for example in &route.examples {
                assert_eq!(name(&routes.decide(example, None)), route.name, "{tenant}: {example}");
            }
        }
    }
}

#[test]
fn questions_in_peoples_own_words_find_their_way() {
    let routes = demo("language-centre").routes();
    for (question, expected) in [
        ("Giáo viên có phải người bản ngữ không?", "course_search"),
        ("Do you offer online lessons?", "course_search"),
        ("Who teaches IELTS 7.0?", "course_search"),
        ("IELTS 7.0 học bao nhiêu buổi", "course_search"),
        ("How do I sign up?", "course_search"),
        ("Giờ mở cửa của trung tâm?", "course_search"),
        ("Khóa IELTS nào phù hợp người mới?", "course_search"),
        ("Địa chỉ các cơ sở?", "course_search"),
        ("Có lớp cuối tuần không?", "course_search"),
        ("Có học thử không?", "course_search"),
        ("Có học bổng không?", "course_search"),
        ("Có lớp trực tuyến không?", "course_search"),
        ("how much for 3 people toeic 650", "tuition_calculator"),
        ("học phí 2 người học IELTS 6.5 có giảm gì không", "tuition_calculator"),
        ("Calculate fee for business english, group of 4", "tuition_calculator"),
        ("difference between movers and flyers", "comparison"),
        ("ielts 5.5 vs 6.5", "comparison"),
        ("tôi muốn gặp tư vấn viên, sđt 0912345678", "create_ticket"),
        ("my number is 0912 345 678, call me tomorrow", "create_ticket"),
        ("Tell me a joke", "out_of_domain"),
        ("Ai là tổng thống Mỹ?", "out_of_domain"),
        ("Viết cho tôi một bài thơ về mùa thu", "out_of_domain"),
        ("Who is the president of France?", "out_of_domain"),
    ] {
        assert_eq!(name(&routes.decide(question, None)), expected, "{question}");
    }
}

#[test]
fn each_tenant_has_its_own_routes_and_an_unknown_one_searches() {
    let book = InMemoryBook::new();
    book.insert(&scope("a"), demo("language-centre"));
    book.insert(&scope("b"), demo("docs"));
    let decide =
        |tenant: &str, question: &str| name(&book.routes(&scope(tenant)).decide(question, None)).to_owned();
    let question = "Học phí IELTS 6.5 là bao nhiêu?";
    assert_eq!(decide("a", question), "tuition_calculator");
    assert_eq!(decide("b", question), "out_of_domain");
    assert_eq!(decide("nobody", question), "search");
}

#[test]
fn t14_what_one_tenant_teaches_changes_no_decision_of_another() {
    let (alone, shared) = (InMemoryBook::new(), InMemoryBook::new());
    alone.insert(&scope("b"), demo("docs"));
    shared.insert(&scope("a"), demo("language-centre"));
    shared.insert(&scope("b"), demo("docs"));
    let questions = demo("language-centre").routes.into_iter().flat_map(|route| route.examples);
    for question in questions {
        let decide = |book: &InMemoryBook| book.routes(&scope("b")).decide(&question, None);
        assert_eq!(decide(&alone), decide(&shared), "{question}");
    }
}

#[tokio::test]
async fn t14_a_tenant_never_reads_anothers_data() {
    let book = InMemoryBook::new();
    book.insert(&scope("a"), demo("language-centre"));
    assert_eq!(book.data(&scope("a")).await.unwrap().courses.len(), 12);
    assert_eq!(*book.data(&scope("b")).await.unwrap(), TenantData::default());
}

fn name(decision: &Decision) -> &str {
    match decision {
        Decision::Search { intent } | Decision::Tool { intent, .. } => intent,
        Decision::OutOfDomain => "out_of_domain",
        _ => "other",
    }
}
