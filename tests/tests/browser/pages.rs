//! Both pages: a question asked, read and rated; the owner looking at it.

use rag_tower_tests::browser::Page;
use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::server::{OWNER, PASSWORD, Setup};
use serde_json::json;

use crate::BINARY;

/// What an attacker would like a page to run.
const HOSTILE: &str = "<img src=http://evil.example/x onerror=alert(1)> ![x](http://evil.example/y) Học phí?";
/// What a model may write, the well-meant and the other.
const MARKDOWN: &str = r#"# Hoàn học phí

Có, **hoàn *một phần*** theo `chính_sách` [1] của _trung tâm_.

1. Nộp đơn
   - kèm biên lai
2. Chờ 7 ngày

| Khoá | Phí |
| --- | --- |
| IELTS | **8 triệu** |

```js
document.title = "<b>**[1]**</b>";
```

<script>document.title = "owned"</script> <img src=http://evil.example/x onerror=alert(1)>
![x](http://evil.example/y) [tốt](https://example.org/a?b) [xấu](javascript:alert(1)) [tệ](data:text/html,x)"#;
/// What has become of it in an element of the page.
const FORMATTED: &str = r#"(() => {
  const answer = document.querySelector("SELECTOR");
  const texts = (selector) => [...answer.querySelectorAll(selector)].map((one) => one.textContent);
  return {
    headings: texts("h3"), bold: texts("strong"), italic: texts("em"), code: texts("p code"), block: texts("pre code"),
    items: texts("ol > li"), inner: texts("ol ul > li"), cells: texts("tbody td"),
    links: [...answer.querySelectorAll("a:not(.cite)")].map((a) => [a.href, a.rel, a.textContent]),
    cited: answer.querySelectorAll("p a.cite").length > 0,
    dangerous: answer.querySelectorAll("script, img, iframe, style, svg, object, [onerror]").length,
    raw: ["<script>document.title", "<img src=http://evil.example/x onerror=alert(1)>", "![x](http://evil.example/y)",
          "[xấu](javascript:alert(1))", "[tệ](data:text/html,x)"].filter((text) => !answer.innerText.includes(text)),
    owned: document.title.includes("owned"),
  };
})()"#;

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

    let mut owner = Page::open(&format!("{origin}/owner?screen=logs"), 1200, 900).await;
    owner.type_into("#username", OWNER).await;
    owner.type_into("#password", PASSWORD).await;
    owner.click("form button.primary").await;
    owner.until("document.querySelectorAll('.opener').length === 2").await;
    let preview = owner.until("document.querySelector('.opener').innerText").await;
    assert!(preview.as_str().unwrap().contains("onerror=alert(1)"), "shown as text: {preview}");
    owner.click(".opener").await;
    owner.click("#drawer [data-tab=waterfall]").await;
    owner
        .until(
            "document.querySelector('#drawer').open && document.querySelector('#drawer .waterfall') !== null",
        )
        .await;
    owner.until("document.querySelector('#drawer .legend .first') !== null").await;

    // A pasted id opens its trace.
    let id = owner.eval("document.querySelectorAll('[data-row]')[1].dataset.row").await;
    let id = id.as_str().unwrap().to_owned();
    owner.eval("document.querySelector('#drawer [data-close]').click()").await;
    owner
        .eval(&format!(
            "(() => {{ const input = document.querySelector('#filter-search'); input.value = ' {id} ';
             input.dispatchEvent(new Event('change')); }})()"
        ))
        .await;
    owner
        .until(&format!(
            "new URLSearchParams(location.search).get('trace') === '{id}' &&
             document.querySelector('#drawer').open &&
             document.querySelector('#drawer').innerText.includes('chính sách hoàn học phí')"
        ))
        .await;
    assert_eq!(owner.eval("new URLSearchParams(location.search).get('q')").await, json!(null));

    for page in [&chat, &owner] {
        let outside: Vec<_> = page.requests().iter().filter(|url| !url.starts_with(&origin)).collect();
        assert_eq!(outside, Vec::<&String>::new(), "nothing is asked of anybody else");
        assert_eq!(page.errors(), Vec::<String>::new());
    }
    assert_eq!(owner.eval("document.querySelectorAll('#drawer img').length").await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_markdown_is_formatted_and_nothing_in_it_runs() {
    let stub = ModelStub::start().await;
    let pieces: Vec<&str> = MARKDOWN.split_inclusive(' ').collect();
    stub.always(Reply::chat(&pieces));
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let origin = format!("http://{}", server.addr);
    let wanted = json!({
        "headings": ["Hoàn học phí"], "bold": ["hoàn một phần", "8 triệu"], "italic": ["một phần", "trung tâm"],
        "code": ["chính_sách"], "block": ["document.title = \"<b>**[1]**</b>\";"],
        "items": ["Nộp đơnkèm biên lai", "Chờ 7 ngày"], "inner": ["kèm biên lai"], "cells": ["8 triệu"],
        "links": [["https://example.org/a?b", "noopener noreferrer nofollow", "tốt (example.org)"]],
        "cited": true, "dangerous": 0, "raw": [], "owned": false,
    });

    let mut chat = Page::open(&format!("{origin}/"), 1000, 800).await;
    chat.until("!document.querySelector('#composer').hidden").await;
    chat.type_into("#question", "Trung tâm có chính sách hoàn học phí không?").await;
    chat.click("#go").await;
    chat.until("document.querySelector('.turn[aria-busy=false] .sources') !== null").await;
    assert_eq!(chat.eval(&FORMATTED.replace("SELECTOR", ".turn .answer")).await, wanted);
    // A citation shows its source, and the other language leaves the answer as it is.
    chat.click(".turn .answer .cite").await;
    chat.until("document.querySelector('.turn .sources li.shown details[open]') !== null").await;
    chat.eval(
        "(() => { const languages = document.querySelector('.lang'); languages.value = 'fa';
         languages.dispatchEvent(new Event('change')); })()",
    )
    .await;
    chat.until("document.documentElement.lang === 'fa' && document.documentElement.dir === 'rtl'").await;
    assert_eq!(chat.eval(&FORMATTED.replace("SELECTOR", ".turn .answer")).await, wanted);

    let mut owner = Page::open(&format!("{origin}/owner?screen=logs"), 1200, 900).await;
    owner.type_into("#username", OWNER).await;
    owner.type_into("#password", PASSWORD).await;
    owner.click("form button.primary").await;
    owner.click(".opener").await;
    owner.until("document.querySelector('#drawer .answer') !== null").await;
    assert_eq!(owner.eval(&FORMATTED.replace("SELECTOR", "#drawer .answer")).await, wanted);

    for page in [&chat, &owner] {
        let outside: Vec<_> = page.requests().iter().filter(|url| !url.starts_with(&origin)).collect();
        assert_eq!(outside, Vec::<&String>::new(), "nothing is asked of anybody else");
        assert_eq!(page.errors(), Vec::<String>::new());
    }
}
