//! The screens of the console: with data and without, what is done on them, and in a language of the other direction.

use std::time::{Duration, Instant};

use rag_tower_tests::browser::Page;
use rag_tower_tests::console::{drawn, hand_off, screens, show, sign_in, traffic};
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::server::{Server, Setup, shared};
use serde_json::{Value, json};

use crate::BINARY;

/// A month of traffic takes a while to write, unoptimised and beside other tests.
const FILLING: Duration = Duration::from_secs(180);
/// Screens that are a list of what happened, which nothing has at first.
const LISTS: [&str; 5] = ["logs", "handoffs", "feedback", "gaps", "usage"];

fn is_list(query: &str) -> bool {
    LISTS.iter().any(|name| query == format!("screen={name}"))
}

/// Opens a hand-off by what was said in it.
async fn open_ticket(page: &mut Page, server: &Server, said: &str) {
    show(page, server, "screen=handoffs").await;
    let found = format!(
        "[...document.querySelectorAll('.opener')].find((one) => one.innerText.includes({}))",
        json!(said)
    );
    page.until(&format!("{found} !== undefined")).await;
    page.eval(&format!("{found}.click()")).await;
    page.until("document.querySelector('#panel .timeline') !== null").await;
}

/// Presses the button of the dialog that asks, after writing into its field.
async fn answer(page: &mut Page, text: &str) {
    page.type_into("dialog.ask[open] textarea", text).await;
    page.click("dialog.ask[open] form .button:not([type=button])").await;
}

async fn audited(server: &Server, action: &str) -> Vec<Value> {
    let log = server.owner().await.get(&format!("/owner/api/audit?action={action}")).await.json();
    log["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_says_that_there_is_nothing_and_then_shows_what_there_is() {
    let server = Setup::new(BINARY).start();
    let mut page = sign_in(&server, "", 1280, 900).await;
    let all = screens(&mut page).await;
    for query in &all {
        show(&mut page, &server, query).await;
        let seen = page.eval("({ empty: document.querySelector('#screen .empty') !== null, alert: document.querySelector('.alert')?.innerText ?? null })").await;
        assert_eq!(seen["alert"], json!(null), "{query}");
        assert!(!is_list(query) || seen["empty"] == true, "{query} does not say that it is empty");
    }
    traffic(&server).await;
    for query in &all {
        show(&mut page, &server, query).await;
        let seen = page
            .eval(
                "({ rows: document.querySelectorAll('#screen .rows tbody tr').length, text: document.querySelector('#screen').innerText.length,
                    alert: document.querySelector('.alert')?.innerText ?? null, wide: Math.max(0, document.documentElement.scrollWidth - innerWidth) })",
            )
            .await;
        assert_eq!((&seen["alert"], &seen["wide"]), (&json!(null), &json!(0)), "{query}");
        assert!(seen["text"].as_i64() > Some(20), "{query} shows nothing: {seen}");
        assert!(!is_list(query) || seen["rows"].as_i64() > Some(0), "{query} shows no row");
    }
    // A filter that nothing passes is named, and can be cleared where it is.
    show(&mut page, &server, "screen=handoffs&state=closed").await;
    page.click("#screen .empty .button").await;
    page.until("document.querySelectorAll('#screen .opener').length === 2").await;
    assert_eq!(page.eval("new URLSearchParams(location.search).get('state')").await, json!(null));
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_goes_from_new_to_contacted_to_closed_and_a_late_move_is_told() {
    let server = shared(BINARY);
    let ticket =
        hand_off(&server, "Tôi muốn gặp tư vấn viên về lớp Ghềnh Ráng, số của tôi là 0912345678").await;
    let mut page = sign_in(&server, "screen=handoffs", 1280, 900).await;
    open_ticket(&mut page, &server, "Ghềnh Ráng").await;
    page.click("#panel .summary .button.primary").await;
    answer(&mut page, "Đã gọi, hẹn thứ hai").await;
    page.until("document.querySelector('#panel .timeline').innerText.includes('Đã gọi, hẹn thứ hai')").await;
    let path = format!("/owner/api/handoffs/{ticket}");
    let owner = server.owner().await;
    assert_eq!(owner.get(&path).await.json()["status"], "contacted");

    // A note is kept beside the moves.
    page.type_into("#handoff-note", "Sẽ đến cùng phụ huynh").await;
    page.click("#panel .note-form button").await;
    page.until("document.querySelector('#panel .timeline').innerText.includes('Sẽ đến cùng phụ huynh')")
        .await;

    // Somebody else closes it; this page still offers to.
    let closed =
        owner.post(&format!("{path}/transition"), &json!({"from": "contacted", "to": "closed"})).await;
    assert_eq!(closed.status, 200, "{}", closed.text());
    page.click("#panel .summary .button.primary").await;
    answer(&mut page, "đóng").await;
    page.until("document.querySelector('dialog.ask[open] .told') !== null").await;
    page.click("dialog.ask[open] .actions .button").await;
    page.until("document.querySelector('#panel .summary .button') === null").await;
    let history = owner.get(&path).await.json();
    assert!(!history.to_string().contains("đóng"), "nothing was written: {history}");
    // Back closes the panel, and forward opens it again.
    page.eval("history.back()").await;
    page.until("document.querySelector('#panel') === null").await;
    page.eval("history.forward()").await;
    page.until("document.querySelector('#panel .timeline') !== null").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_shown_for_a_reason_that_the_audit_log_keeps() {
    let server = shared(BINARY);
    let ticket = hand_off(&server, "Tôi muốn gặp tư vấn viên về lớp Mũi Né, số của tôi là 0977111222").await;
    let mut page = sign_in(&server, "screen=handoffs", 1280, 900).await;
    open_ticket(&mut page, &server, "Mũi Né").await;
    assert!(!page.text().await.contains("0977111222"), "masked until somebody asks");
    page.click("#reveal").await;
    answer(&mut page, "Khách hẹn gọi lại lúc chín giờ").await;
    page.until("document.querySelector('#revealed')?.innerText.includes('0977111222')").await;
    page.click("dialog.ask[open] > .actions .button").await;
    page.until("document.querySelector('#revealed') === null").await;
    assert!(!page.text().await.contains("0977111222"), "hidden again");

    let rows = audited(&server, "handoff.reveal").await;
    let row = rows.iter().find(|row| row["target"].as_str().is_some_and(|target| target.contains(&ticket)));
    let row = row.unwrap_or_else(|| panic!("no audit row of {ticket}: {rows:?}"));
    assert!(row.to_string().contains("Khách hẹn gọi lại lúc chín giờ"), "{row}");
    assert!(!row.to_string().contains("0977111222"), "the log keeps no number: {row}");
    show(&mut page, &server, "screen=audit").await;
    page.until("document.querySelector('#screen').innerText.includes('Khách hẹn gọi lại lúc chín giờ')")
        .await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn persian_reads_from_right_to_left_on_a_phone_and_ids_do_not() {
    let server = shared(BINARY);
    hand_off(&server, "Tôi muốn gặp tư vấn viên, số của tôi là 0912345678").await;
    let mut page = sign_in(&server, "", 1280, 900).await;
    page.choose(".lang", "fa").await;
    page.until("document.documentElement.dir === 'rtl' && document.documentElement.lang === 'fa'").await;
    drawn(&mut page).await;
    let all = screens(&mut page).await;
    page.resize(360, 740).await;
    for query in &all {
        show(&mut page, &server, query).await;
        let seen = page
            .eval(
                "({ dir: document.documentElement.dir, wide: Math.max(0, document.documentElement.scrollWidth - innerWidth), alert: document.querySelector('.alert')?.innerText ?? null,
                    ids: [...document.querySelectorAll('code, pre')].every((one) => getComputedStyle(one).direction === 'ltr'),
                    english: [...document.querySelectorAll('#screen [data-i18n-text]')].filter((one) => one.innerText && !/[\\u0600-\\u06ff]/.test(one.innerText) && /[A-Za-z]{4}/.test(one.innerText)).map((one) => one.innerText) })",
            )
            .await;
        assert_eq!(
            seen,
            json!({"dir": "rtl", "wide": 0, "alert": null, "ids": true, "english": []}),
            "{query}"
        );
    }
    // The choice is remembered, and another one needs no reload.
    page.choose(".lang", "vi").await;
    page.until("document.documentElement.dir === 'ltr' && document.querySelector('h1').innerText !== ''")
        .await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_suspended_for_a_reason_and_let_in_again() {
    let server = Setup::new(BINARY).start();
    let mut page = sign_in(&server, "screen=tenants", 1280, 900).await;
    let found =
        "[...document.querySelectorAll('.opener')].find((one) => one.innerText.includes('Red River'))";
    page.until(&format!("{found} !== undefined")).await;
    page.eval(&format!("{found}.click()")).await;
    page.click("#panel .button.danger").await;
    answer(&mut page, "Hợp đồng đã hết hạn").await;
    page.until("document.querySelector('#panel .summary .badge.bad') !== null").await;
    page.until("document.querySelector('#screen .badge.bad') !== null").await;
    let refused = server.tenant().post("/query", &json!({"question": "Học phí?"})).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    let rows = audited(&server, "tenant.suspend").await;
    assert!(rows[0].to_string().contains("Hợp đồng đã hết hạn"), "{rows:?}");

    page.eval("document.querySelector('#panel section:last-child .button').click()").await;
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('#panel .summary .badge.good') !== null").await;
    let answered = server.tenant().post("/query", &json!({"question": "Học phí?"})).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_found_by_a_part_of_its_name() {
    let server = shared(BINARY);
    let mut page = sign_in(&server, "screen=tenants", 1280, 900).await;
    let names = "[...document.querySelectorAll('#screen .opener')].map((one) => one.innerText).join()";
    page.until(&format!("{names}.split(',').length === 2")).await;
    page.type_into("#filter-find", "RED riv").await;
    page.eval("document.querySelector('#filter-find').blur()").await;
    page.until(&format!("{names}.includes('Red River') && !{names}.includes(',')")).await;
    assert_eq!(page.eval("new URLSearchParams(location.search).get('find')").await, json!("RED riv"));
    show(&mut page, &server, "screen=tenants&find=nobody").await;
    page.click("#screen .empty .button").await;
    page.until(&format!("{names}.split(',').length === 2")).await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_made_tried_changed_and_taken_away() {
    let server = shared(BINARY);
    let mut page = sign_in(&server, "screen=alerts", 1280, 900).await;
    page.click("#alert-add").await;
    let label = |name: &str| format!("dialog.ask[open] [name={name}]");
    page.type_into(&label("name"), "Quá nhiều lỗi").await;
    page.type_into(&label("threshold"), "5").await;
    // Nobody listens there.
    page.type_into(&label("webhook"), "http://127.0.0.1:9/secret-part").await;
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('#screen .opener')?.innerText === 'Quá nhiều lỗi'").await;
    let owner = server.owner().await;
    let made = owner.get("/owner/api/alerts").await.json()["items"][0].clone();
    assert_eq!(
        (&made["threshold"], &made["metric"]),
        (&json!(0.05), &json!("error_rate")),
        "5 per cent: {made}"
    );

    page.click("#screen .opener").await;
    page.click("#panel .actions .button:nth-child(2)").await;
    page.until("document.querySelector('#panel [role=status] .badge.bad') !== null").await;
    page.click("#panel .actions .button.primary").await;
    page.eval("document.querySelector('dialog.ask[open] [name=threshold]').value = '7.5'").await;
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('dialog.ask[open]') === null").await;
    let kept = owner.get("/owner/api/alerts").await.json()["items"][0].clone();
    assert_eq!(kept["threshold"], json!(0.075), "{kept}");
    assert!(kept["webhook"].as_str().is_some(), "what is left empty stays: {kept}");

    page.click("#panel .actions .button.danger").await;
    page.click("dialog.ask[open] form .button.danger").await;
    page.until(
        "document.querySelector('#panel') === null && document.querySelector('#screen .empty') !== null",
    )
    .await;
    assert_eq!(owner.get("/owner/api/alerts").await.json()["total"], 0);
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_data_is_filled_and_removed_from_the_settings() {
    let server = Setup::new(BINARY).start();
    let mut page = sign_in(&server, "screen=settings", 1280, 900).await;
    page.click("#demo-fill").await;
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('.demo .meter, #demo-remove') !== null").await;
    page.until_within("document.querySelector('#demo-remove') !== null", FILLING).await;
    show(&mut page, &server, "screen=logs&range=30d").await;
    assert!(page.eval("document.querySelectorAll('#screen .opener').length").await.as_i64() > Some(10));
    show(&mut page, &server, "screen=settings").await;
    page.click("#demo-remove").await;
    page.click("dialog.ask[open] form .button.danger").await;
    page.until_within("document.querySelector('#demo-fill') !== null", FILLING).await;
    show(&mut page, &server, "screen=logs&range=all").await;
    page.until("document.querySelector('#screen .empty') !== null").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

/// Asks what no document answers, and waits for its row.
async fn unanswered(server: &Server) {
    let question = json!({"question": "Hôm nay giá vàng bao nhiêu?"});
    let answer = server.tenant().post("/query", &question).await.json();
    assert_eq!(answer["route"], "out_of_domain", "{answer}");
    server.row(answer["trace_id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_resolved_with_a_note_and_comes_back_when_it_is_asked_again() {
    let server = Setup::new(BINARY).start();
    let mut page = sign_in(&server, "screen=gaps", 1280, 900).await;
    // Three kinds of nothing: never a request, never a gap, and all of them closed.
    page.until("document.querySelector('#screen .empty .command') !== null").await;
    let answered = json!({"question": "Trung tâm có chính sách hoàn học phí không?"});
    let answer = server.tenant().post("/query", &answered).await.json();
    server.row(answer["trace_id"].as_str().unwrap()).await;
    show(&mut page, &server, "screen=gaps").await;
    page.until("document.querySelector('#screen .empty') !== null && document.querySelector('#screen .command') === null")
        .await;
    unanswered(&server).await;
    unanswered(&server).await;
    show(&mut page, &server, "screen=gaps").await;
    page.until("document.querySelector('#screen .opener')?.innerText.includes('giá vàng')").await;
    assert_eq!(page.eval("document.querySelector('#screen .c-count a').innerText").await, "2");

    page.click("#screen .c-actions .button").await;
    answer_with(&mut page, "Không phải việc của trung tâm").await;
    page.until("document.querySelector('#screen .empty') !== null").await;
    page.click("#state-resolved").await;
    page.until(
        "document.querySelector('#screen .rows')?.innerText.includes('Không phải việc của trung tâm')",
    )
    .await;
    assert_eq!(audited(&server, "gap.resolve").await.len(), 1);

    unanswered(&server).await;
    show(&mut page, &server, "screen=gaps").await;
    page.until("document.querySelector('#screen .badge.warn') !== null").await;
    // The number leads to the requests themselves.
    page.click("#screen .c-count a").await;
    page.until("new URLSearchParams(location.search).get('screen') === 'logs' && document.querySelectorAll('#screen .opener').length === 3")
        .await;
    show(&mut page, &server, "screen=gaps").await;
    page.click("#screen .c-actions .button").await;
    answer_with(&mut page, "").await;
    page.until("document.querySelector('#screen .empty') !== null").await;
    show(&mut page, &server, "screen=gaps&state=resolved").await;
    page.click("#screen .c-actions .link").await;
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('#screen .empty') !== null").await;
    assert_eq!(audited(&server, "gap.reopen").await.len(), 1);
    assert_eq!(page.errors(), Vec::<String>::new());
}

/// Presses the button of a dialog after writing into its field, which may stay as it is.
async fn answer_with(page: &mut Page, text: &str) {
    page.until("document.querySelector('dialog.ask[open] textarea') !== null").await;
    if !text.is_empty() {
        page.type_into("dialog.ask[open] textarea", text).await;
    }
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('dialog.ask[open]') === null").await;
}

/// Loads the isolation screen anew as if the server said this of the canaries; null stands for a server that says nothing.
async fn says_of_canaries(page: &mut Page, canary: &Value) {
    let said = if canary.is_null() { json!({}) } else { json!({ "canary": canary }) };
    page.eval(&format!(
        "(() => {{
          window.realFetch ??= window.fetch;
          window.fetch = async (url, options) => {{
            const answer = await window.realFetch(url, options);
            if (!String(url).includes('/owner/api/isolation')) return answer;
            const {{ canary, ...rest }} = await answer.json();
            return new Response(JSON.stringify({{ ...rest, ...{said} }}));
          }};
          document.querySelector('.switches button').click();
        }})()"
    ))
    .await;
    drawn(page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_isolation_screen_shows_how_requests_ended_and_what_the_canaries_found() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "screen=isolation", 1280, 900).await;
    // All asks but those that were lost are answered, and every figure leads to its requests.
    let funnel = server.owner().await.get("/owner/api/isolation").await.json()["funnel"].clone();
    assert_eq!(funnel["asked"], 8, "{funnel}");
    page.until("document.querySelectorAll('#funnel > li').length === 6").await;
    let shown = page.eval("[...document.querySelectorAll('#funnel > li > .figure:not(.share)')].map((one) => one.innerText)").await;
    let mut expected = vec![funnel["asked"].to_string()];
    for step in funnel["steps"].as_array().unwrap() {
        let count = step["count"].as_i64().unwrap();
        expected.push(if count > 0 { count } else { step["left"].as_i64().unwrap() }.to_string());
    }
    expected.push(funnel["answered"].to_string());
    assert_eq!(shown, json!(expected));
    page.click("#funnel > li:last-child a").await;
    page.until("new URLSearchParams(location.search).get('status') === 'SUCCESS'").await;
    show(&mut page, &server, "screen=isolation").await;

    let check = |name: &str, ok: Value| json!({ "name": name, "ok": ok, "tenant": "canary-a", "detail": "<img src=x>", "trace_id": null });
    let canary = |state: &str, checks: Vec<Value>| {
        json!({ "enabled": state != "off", "ok": null, "state": state, "at": null, "next_at": "2026-01-01T00:00:00Z",
                "interval_s": 60, "rotated_at": null, "rounds": 7, "checks": checks })
    };
    for (said, tone, rows) in [
        (
            canary("ok", vec![check("own_secret", json!(true)), check("rotated_secret", Value::Null)]),
            "good",
            2,
        ),
        (
            canary("leak", vec![check("foreign_rows", json!(false)), check("a_new_one", json!(true))]),
            "bad",
            2,
        ),
        (canary("inconclusive", vec![]), "warn", 0),
        (canary("waiting", vec![]), "accent", 0),
        (canary("off", vec![]), "", 0),
    ] {
        says_of_canaries(&mut page, &said).await;
        let seen = page
            .eval("({ kind: document.querySelector('#canary').className, checks: document.querySelectorAll('.c-canary_check').length })")
            .await;
        assert_eq!(seen, json!({ "kind": format!("card-small {tone}"), "checks": rows }), "{said}");
    }
    says_of_canaries(&mut page, &Value::Null).await;
    page.until("document.querySelector('#canary') === null && document.querySelector('#funnel') !== null")
        .await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_named_until_it_has_one() {
    let stub = ModelStub::start().await;
    stub.always(Reply::chat(&["Có hoàn học phí [1]."]));
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let question = json!({"question": "Trung tâm có chính sách hoàn học phí không?"});
    let answer = server.tenant().post("/query", &question).await.json();
    server.row(answer["trace_id"].as_str().unwrap()).await;

    let mut page = sign_in(&server, "screen=usage", 1280, 900).await;
    page.until("document.querySelector('#screen .lines')?.innerText.includes('stub')").await;
    page.until("document.querySelector('#screen .rows .badge.warn') !== null").await;
    // The file has what the list has.
    let file = page
        .eval("fetch(document.querySelector('#screen a[download]').href).then((file) => file.text())")
        .await;
    let file = file.as_str().unwrap().to_owned();
    assert!(file.starts_with("day,") && file.contains(",stub,"), "{file}");

    page.click("#screen .lines .button").await;
    page.eval("document.querySelector('dialog.ask[open] [name=effective_from]').value = '2020-01-31'").await;
    page.type_into("dialog.ask[open] [name=input_per_million]", "2.5").await;
    page.type_into("dialog.ask[open] [name=output_per_million]", "10").await;
    page.click("dialog.ask[open] form .button.primary").await;
    page.until("document.querySelector('dialog.ask[open]') === null").await;
    // What is past is priced in the background.
    let end = Instant::now() + DEADLINE;
    loop {
        show(&mut page, &server, "screen=usage").await;
        if page.eval("document.querySelector('#screen .rows .badge.warn') === null").await == true {
            break;
        }
        assert!(Instant::now() < end, "{}", page.text().await);
    }
    assert_eq!(page.eval("document.querySelector('#screen .lines')").await, json!(null));
    show(&mut page, &server, "screen=usage&part=prices").await;
    page.click("#screen .rows .link").await;
    page.click("dialog.ask[open] form .button.danger").await;
    page.until("document.querySelector('#screen .empty') !== null").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}
