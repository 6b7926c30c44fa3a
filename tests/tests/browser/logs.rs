//! The list of requests: its state in the address, the keyboard, what comes while one looks, and what is taken away.

use rag_tower_tests::browser::Page;
use rag_tower_tests::console::{drawn, show, sign_in, traffic};
use rag_tower_tests::server::Setup;
use serde_json::json;

use crate::BINARY;

const OPENERS: &str = "document.querySelectorAll('.opener').length";
const SHOWN: &str = "document.querySelector('#drawer').open && document.querySelector('#drawer .body:not([aria-busy])') !== null &&
    new URLSearchParams(location.search).get('trace')";

/// Opens the present address anew, as a reload or a shared link does.
async fn reload(page: &mut Page) {
    let address = page.eval("location.href").await;
    page.go(address.as_str().expect("an address")).await;
    drawn(page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filtered_is_in_the_address_and_survives_reload_and_back() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "screen=logs", 1440, 900).await;
    page.until(&format!("{OPENERS} === 8")).await;
    page.click("#facet-route-comparison").await;
    page.until(&format!("{OPENERS} === 1")).await;
    page.until("document.querySelector('.chip') !== null").await;
    reload(&mut page).await;
    page.until(&format!("{OPENERS} === 1")).await;
    assert_eq!(
        page.eval("document.querySelector('#facet-route-comparison').ariaPressed").await,
        json!("true")
    );
    page.eval("history.back()").await;
    page.until(&format!("{OPENERS} === 8")).await;
    // A search, and columns of one's own.
    page.type_into("#filter-search", "gia vang").await;
    page.press("Enter").await;
    page.until(&format!("{OPENERS} === 1")).await;
    show(&mut page, &server, "screen=logs&columns=question,channel,trace_id").await;
    let heads = page
        .eval("[...document.querySelectorAll('.rows th')].map((one) => JSON.parse(one.dataset.i18nText)[0])")
        .await;
    assert_eq!(heads, json!(["question", "channel", "trace_id"]));
    // What nothing passes says which filter to leave.
    show(&mut page, &server, "screen=logs&channel=telegram").await;
    page.click("#screen .empty .button").await;
    page.until(&format!("{OPENERS} === 8")).await;
    assert_eq!(page.eval("new URLSearchParams(location.search).get('channel')").await, json!(null));
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_goes_everywhere() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "", 1440, 900).await;
    page.press("g").await;
    page.press("l").await;
    page.until(&format!("{OPENERS} === 8")).await;
    page.press("j").await;
    page.press("j").await;
    let second = page.eval("document.activeElement.dataset.row").await;
    assert_eq!(second, page.eval("document.querySelectorAll('.opener')[1].dataset.row").await);
    page.press("Enter").await;
    assert_eq!(page.until(SHOWN).await, second);
    page.press("j").await;
    let third = page.eval("document.querySelectorAll('.opener')[2].dataset.row").await;
    page.until(&format!("({SHOWN}) === {third}")).await;
    page.press("k").await;
    page.until(&format!("({SHOWN}) === {second}")).await;
    page.press("Escape").await;
    page.until("!document.querySelector('#drawer').open && !location.search.includes('trace=')").await;
    assert_eq!(page.eval("document.activeElement.dataset.row").await, second, "back where it was");
    page.press("/").await;
    page.until("document.activeElement.id === 'filter-search'").await;
    page.press("Escape").await;
    page.press("?").await;
    page.until("document.querySelector('dialog[open] kbd') !== null").await;
    page.press("Escape").await;
    page.until("document.querySelector('dialog[open]') === null").await;
    page.press("Control+k").await;
    page.type_into("dialog.palette input", "tong quan overview").await;
    page.eval("(() => { const input = document.querySelector('dialog.palette input'); input.value = 'overv'; input.dispatchEvent(new Event('input')); })()").await;
    page.press("Enter").await;
    page.until("document.querySelector('.tiles') !== null").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_appears_while_one_looks_and_waits_while_paused() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "screen=logs&live=1", 1440, 900).await;
    page.until(&format!("document.querySelector('.dot.on') !== null && {OPENERS} === 8")).await;
    let ask = async |question: &str| {
        let answer = server.tenant().post("/query", &json!({ "question": question })).await.json();
        server.row(answer["trace_id"].as_str().expect("a trace id")).await;
    };
    ask("So sánh khoá IELTS 5.5 và IELTS 7.0").await;
    page.until(&format!("{OPENERS} === 9")).await;
    let first = page.eval("document.querySelector('.opener').innerText").await;
    assert_eq!(first, "So sánh khoá IELTS 5.5 và IELTS 7.0");
    page.click("[data-live=pause]").await;
    ask("Học phí khoá TOEIC là bao nhiêu?").await;
    page.until("document.querySelector('.live').innerText.includes('1')").await;
    assert_eq!(page.eval(OPENERS).await, json!(9));
    page.click("[data-live=resume]").await;
    page.until(&format!("{OPENERS} === 10")).await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_the_filter_and_the_columns_that_are_shown() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page =
        sign_in(&server, "screen=logs&route=comparison&columns=question,status,route", 1440, 900).await;
    page.until(&format!("{OPENERS} === 1")).await;
    page.eval("document.querySelectorAll('.log-bar .menu-holder > button')[2].click()").await;
    let csv = page.until("document.querySelector('[data-format=csv]')?.href").await;
    let text = page.eval(&format!("fetch({csv}).then((answer) => answer.text())")).await;
    let lines: Vec<_> = text.as_str().expect("text").lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0].trim_start_matches('\u{feff}'), "question,status,route");
    assert!(lines[1].ends_with("SUCCESS,comparison"), "{text}");
    let jsonl = page.eval("document.querySelector('[data-format=jsonl]').href").await;
    let text = page.eval(&format!("fetch({jsonl}).then((answer) => answer.text())")).await;
    let row: serde_json::Value =
        serde_json::from_str(text.as_str().expect("text").trim()).expect("one line of JSON");
    assert_eq!(row.as_object().expect("an object").len(), 3, "{row}");
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_saved_opened_and_removed() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "screen=logs&route=comparison", 1440, 900).await;
    let open = "document.querySelector('.log-bar .menu-holder > button').click()";
    page.eval(open).await;
    page.type_into(".menu-box form input", "Comparisons").await;
    page.press("Enter").await;
    page.until("document.querySelector('.menu-box')?.innerText.includes('Comparisons')").await;
    show(&mut page, &server, "screen=logs").await;
    page.until(&format!("{OPENERS} === 8")).await;
    page.eval(open).await;
    page.click(".menu-box li.line a").await;
    page.until(&format!("{OPENERS} === 1")).await;
    page.eval(open).await;
    page.click(".menu-box li.line button").await;
    page.until("document.querySelector('.menu-box form') !== null && document.querySelector('.menu-box li.line') === null").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_why_it_answered_so() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "screen=logs&route=course_search", 1440, 900).await;
    page.click(".opener").await;
    page.until(SHOWN).await;
    page.click("#drawer [data-tab=retrieval]").await;
    page.until("document.querySelectorAll('#drawer .hits tbody tr:not(.unused)').length > 0").await;
    // What kept the tenant apart: the verdict, who the database was, the filter and the part of the cache.
    page.until(
        "document.querySelector('#drawer .receipt .badge.good[data-i18n-text*=verdict_passed]') !== null",
    )
    .await;
    let receipt = page.eval("document.querySelector('#drawer .receipt').innerText").await;
    let receipt = receipt.as_str().expect("text").to_owned();
    assert!(receipt.contains("rag_tenant") && receipt.contains("member"), "{receipt}");
    page.click("#drawer [data-tab=waterfall]").await;
    page.until("document.querySelectorAll('#drawer .waterfall .span').length > 2").await;
    // The tab is in the address, and the page of its own shows the same.
    page.click("#drawer header a").await;
    page.until("new URLSearchParams(location.search).get('screen') === 'trace'").await;
    page.until("!document.querySelector('#drawer').open && document.querySelector('.trace-page .trace-head') !== null").await;
    page.click(".trace-page [data-tab=raw]").await;
    page.until("document.querySelector('.trace-page pre').innerText.includes('trace_id')").await;
    reload(&mut page).await;
    page.until("document.querySelector('.trace-page pre') !== null").await;
    // A tool searches nothing, and its receipt says so.
    show(&mut page, &server, "screen=logs&route=comparison").await;
    page.click(".opener").await;
    page.until(SHOWN).await;
    page.click("#drawer [data-tab=retrieval]").await;
    page.until("document.querySelector('#drawer .receipt [data-i18n-text*=verdict_not_searched]') !== null")
        .await;
    page.until("document.querySelector('#drawer .receipt [data-i18n-text*=filter_none]') !== null").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}
