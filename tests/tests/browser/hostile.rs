//! What strangers write reaches the owner as text: nothing of it runs, and nothing of it asks anybody for anything (T70).

use rag_tower_tests::browser::Page;
use rag_tower_tests::console::{drawn, hand_off, rate, screens, show, sign_in};
use rag_tower_tests::http::Client;
use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::postgres::run;
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};

use crate::BINARY;

/// Every way that T70 names, and a text that reads backwards.
const HOSTILE: [&str; 9] = [
    "![x](http://evil.example/markdown)",
    "<img src=http://evil.example/img onerror=\"document.title='owned'\">",
    "<link rel=stylesheet href=http://evil.example/link>",
    "<style>body{background:url(http://evil.example/css)}</style>",
    "<svg onload=\"document.title='owned'\"><image href=http://evil.example/svg /></svg>",
    "[x](javascript:document.title='owned')",
    "<meta http-equiv=refresh content=\"0;url=http://evil.example/meta\">",
    "<script>document.title='owned'</script><iframe src=http://evil.example/frame></iframe>",
    "=cmd|' /C calc'!A0 \u{202e}dne\u{202c} \u{200b}",
];
/// What of it has become more than text: elements that load or run, links that lead elsewhere, and the text itself changed.
const LIVE: &str = "({
  made: [...document.querySelectorAll('#screen, #drawer, #panel, .ask')].flatMap((root) =>
    [...root.querySelectorAll('img, link, style, image, meta, script, iframe, object, embed, [onerror], [onload]')].map((one) => one.outerHTML)),
  links: [...document.querySelectorAll('a[href]')].map((a) => a.href).filter((href) => !/^https?:/.test(href)),
  bidi: /[\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText),
  owned: document.title === 'owned',
})";

fn hostile() -> String {
    HOSTILE.join(" ")
}

async fn is_text(page: &mut Page, place: &str) {
    let live = page.eval(LIVE).await;
    let dead = json!({"made": [], "links": [], "bidi": false, "owned": false});
    assert_eq!(live, dead, "{place}");
}

/// A server where a tenant's name, questions, answers, comments and messages are all of it.
async fn fill(server: &Server) -> Value {
    let tenant: Client = server.tenant();
    let name = hostile().replace('\'', "''");
    run(
        &mut server.database().await,
        &format!("UPDATE rag_tower.tenants SET name = '{name}' WHERE slug = 'language-centre'"),
    )
    .await;
    let question = format!("Trung tâm có chính sách hoàn học phí không? {}", hostile());
    let answer = tenant.post("/query", &json!({ "question": question })).await.json();
    rate(server, &answer, -1, Some(&hostile())).await;
    // what is refused is shown too, as what the documents lack
    let refused = json!({ "question": format!("Hôm nay giá vàng bao nhiêu? {}", hostile()) });
    let refused = tenant.post("/query", &refused).await.json();
    assert_eq!(refused["route"], "out_of_domain", "{refused}");
    server.row(refused["trace_id"].as_str().unwrap()).await;
    let alert = json!({
        "name": HOSTILE[1], "metric": "error_rate", "comparison": "above", "threshold": 0.5, "window_min": 5,
        "route": HOSTILE[0],
    });
    let made = server.owner().await.post("/owner/api/alerts", &alert).await;
    assert_eq!(made.status, 201, "{}", made.text());
    hand_off(server, &format!("Tôi muốn gặp tư vấn viên, số của tôi là 0912345678. {}", hostile())).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn t70_hostile_text_reaches_the_owner_as_text() {
    let stub = ModelStub::start().await;
    let said = format!("Có hoàn học phí [1]. {}", hostile());
    stub.always(Reply::chat(&said.split_inclusive(' ').collect::<Vec<_>>()));
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let answer = fill(&server).await;
    let origin = format!("http://{}", server.addr);

    let mut page = sign_in(&server, "", 1280, 900).await;
    let mut all = screens(&mut page).await;
    all.extend([
        "screen=handoffs&layout=board".to_owned(),
        "screen=handoffs&lang=fa".to_owned(),
        format!("screen=trace&trace={}", answer["trace_id"].as_str().unwrap()),
        // what stands in the address is a stranger's too
        "screen=logs&q=%3Cimg%20src%3Dhttp%3A%2F%2Fevil.example%2Fq%20onerror%3Dalert(1)%3E&route=%3Csvg%3E"
            .to_owned(),
    ]);
    for query in &all {
        show(&mut page, &server, query).await;
        is_text(&mut page, query).await;
    }
    // It is there, and whole.
    show(&mut page, &server, "screen=logs").await;
    page.until("document.querySelector('#screen').innerText.includes('<img src=http://evil.example/img')")
        .await;
    show(&mut page, &server, "screen=gaps").await;
    page.until("document.querySelector('#screen').innerText.includes('<img src=http://evil.example/img')")
        .await;
    page.click("#screen .c-actions .button").await;
    page.until("document.querySelector('dialog.ask[open] .text')?.innerText.includes('evil.example/css')")
        .await;
    is_text(&mut page, "a gap").await;
    page.click("dialog.ask[open] form .button[type=button]").await;
    show(&mut page, &server, "screen=logs").await;
    page.eval("[...document.querySelectorAll('.opener')].find((one) => one.innerText.includes('hoàn học phí')).click()").await;
    page.until("document.querySelector('#drawer[open] .body:not([aria-busy])')?.innerText.includes('evil.example/svg')")
        .await;
    is_text(&mut page, "a trace").await;
    show(&mut page, &server, "screen=handoffs").await;
    page.click(".opener").await;
    page.until("document.querySelector('#panel .text')?.innerText.includes('evil.example')").await;
    is_text(&mut page, "a hand-off").await;
    show(&mut page, &server, "screen=tenants").await;
    page.eval("[...document.querySelectorAll('.opener')].find((one) => one.innerText.includes('evil.example')).click()").await;
    page.until("document.querySelector('#panel .summary')?.innerText.includes('evil.example/svg')").await;
    is_text(&mut page, "a tenant").await;
    page.click("#panel .button.danger").await;
    page.until("document.querySelector('dialog.ask[open]')?.innerText.includes('evil.example/svg')").await;
    is_text(&mut page, "a tenant that is asked about").await;
    page.click("dialog.ask[open] form .button[type=button]").await;
    show(&mut page, &server, "screen=alerts").await;
    page.click("#screen .opener").await;
    page.until(
        "document.querySelector('#panel .body:not([aria-busy])')?.innerText.includes('evil.example/img')",
    )
    .await;
    is_text(&mut page, "an alert").await;
    page.click("#panel .actions .button.primary").await;
    page.until("document.querySelector('dialog.ask[open] [name=name]')?.value.includes('evil.example/img')")
        .await;
    is_text(&mut page, "an alert that is changed").await;
    drawn(&mut page).await;

    let outside: Vec<_> = page.requests().iter().filter(|url| !url.starts_with(&origin)).collect();
    assert_eq!(outside, Vec::<&String>::new(), "nothing is asked of anybody else");
    assert_eq!(page.errors(), Vec::<String>::new());
}
