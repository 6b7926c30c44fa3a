//! Every screen of the console is checked by axe, in light and in dark: nobody is shut out by how it is made.

use rag_tower_tests::browser::Page;
use rag_tower_tests::console::{drawn, screens, show, sign_in, traffic};
use rag_tower_tests::server::Setup;
use serde_json::Value;

use crate::BINARY;

/// axe-core 4.14, whose licence lies beside it.
const AXE: &str = include_str!("../../assets/axe/axe.min.js");
/// What it finds that keeps people out.
const FINDINGS: &str = "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations
  .filter((one) => one.impact === 'serious' || one.impact === 'critical')
  .map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200) + ' ' + node.failureSummary).join(' | ')}`))";

async fn findings(page: &mut Page) -> Value {
    page.eval(&format!("{AXE}; null")).await;
    page.eval(FINDINGS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_any_screen_in_light_and_dark() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "", 1280, 900).await;
    let mut all = screens(&mut page).await;
    assert!(all.len() > 2, "{all:?}");
    all.extend(
        ["screen=handoffs&layout=board", "screen=usage&part=prices", "screen=gaps&state=all"]
            .map(str::to_owned),
    );
    let mut found = Vec::new();
    for scheme in ["light", "dark"] {
        page.prefer(scheme).await;
        for query in &all {
            show(&mut page, &server, query).await;
            for finding in findings(&mut page).await.as_array().unwrap() {
                found.push(format!("{scheme} {query}: {finding}"));
            }
        }
        // What opens above a screen.
        show(&mut page, &server, "screen=logs").await;
        page.click(".opener").await;
        page.until("document.querySelector('#drawer[open] .body:not([aria-busy])') !== null").await;
        for finding in findings(&mut page).await.as_array().unwrap() {
            found.push(format!("{scheme} a trace: {finding}"));
        }
        show(&mut page, &server, "screen=handoffs").await;
        page.click(".opener").await;
        page.until("document.querySelector('#panel[open] .timeline') !== null").await;
        for finding in findings(&mut page).await.as_array().unwrap() {
            found.push(format!("{scheme} a hand-off: {finding}"));
        }
        page.click("#reveal").await;
        page.until("document.querySelector('dialog.ask[open] textarea') !== null").await;
        for finding in findings(&mut page).await.as_array().unwrap() {
            found.push(format!("{scheme} a question: {finding}"));
        }
        drawn(&mut page).await;
    }
    assert_eq!(found, Vec::<String>::new());
}
