//! The pages in a real browser, on a real server: a question asked, read and rated; the owner looking at it.

use rag_tower_tests::browser::Page;
use rag_tower_tests::server::{OWNER, PASSWORD, Setup};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
/// What an attacker would like a page to run.
const HOSTILE: &str = "<img src=http://evil.example/x onerror=alert(1)> ![x](http://evil.example/y) Học phí?";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_asks_and_the_owner_sees_it() {
    let server = Setup::new(BINARY).start();
    let origin = format!("http://{}", server.addr);

    let mut chat = Page::open(&format!("{origin}/"), 1000, 800).await;
    chat.until("!document.querySelector('#composer').hidden").await;
    chat.type_into("#question", "Trung tâm có chính sách hoàn học phí không?").await;
    chat.click("#go").await;
    chat.until("document.querySelector('.turn[aria-busy=false] .sources') !== null").await;
    let answer = chat.eval("document.querySelector('.turn .text').innerText").await;
    assert!(answer.as_str().is_some_and(|text| text.len() > 20), "{answer}");
    let cited = chat.eval("document.querySelectorAll('.turn .cite').length").await;
    assert!(cited.as_i64() > Some(0), "citations link to their sources: {answer}");
    chat.click(".turn .thumbs button").await;
    chat.until("document.querySelector('.turn .thumbs button').getAttribute('aria-pressed') === 'true'")
        .await;

    // Hostile text is shown as text, on both pages.
    chat.type_into("#question", HOSTILE).await;
    chat.click("#go").await;
    chat.until("document.querySelectorAll('.turn[aria-busy=false]').length === 2").await;

    let mut owner = Page::open(&format!("{origin}/owner"), 1200, 900).await;
    owner.type_into("#username", OWNER).await;
    owner.type_into("#password", PASSWORD).await;
    owner.click("form button.primary").await;
    owner.until("document.querySelectorAll('.opener').length === 2").await;
    let preview = owner.until("document.querySelector('.opener').innerText").await;
    assert!(preview.as_str().unwrap().contains("onerror=alert(1)"), "shown as text: {preview}");
    owner.click(".opener").await;
    owner
        .until(
            "document.querySelector('#drawer').open && document.querySelector('#drawer .waterfall') !== null",
        )
        .await;
    owner.until("document.querySelector('#drawer .legend .first') !== null").await;

    for page in [&chat, &owner] {
        let outside: Vec<_> = page.requests().iter().filter(|url| !url.starts_with(&origin)).collect();
        assert_eq!(outside, Vec::<&String>::new(), "nothing is asked of anybody else");
        assert_eq!(page.errors(), Vec::<String>::new());
    }
    assert_eq!(owner.eval("document.querySelectorAll('#drawer img').length").await, json!(0));
}
