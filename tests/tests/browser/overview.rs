//! The overview: what it shows, that it costs little, and that everything on it leads to the requests behind it.

use rag_tower_tests::console::{drawn, show, sign_in, traffic};
use rag_tower_tests::server::Setup;
use serde_json::json;

use crate::BINARY;

/// The most that the overview may fetch with a cold cache, in bytes.
const MOST: f64 = 300_000.0;

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_leads_from_every_figure_to_its_requests() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "range=24h", 1440, 1000).await;
    page.until("document.querySelectorAll('.tile .value').length === 14").await;
    page.until("document.querySelectorAll('.uplot canvas').length === 2").await;
    page.until("document.querySelector('.heat canvas')?.width > 300").await;
    page.until("document.querySelectorAll('.top-table').length === 3").await;
    let fetched =
        page.eval("performance.getEntries().reduce((sum, one) => sum + (one.transferSize ?? 0), 0)").await;
    assert!(fetched.as_f64().is_some_and(|bytes| bytes > 20_000.0 && bytes < MOST), "{fetched} bytes");

    // The pictures as tables, whose rows lead on too.
    let rows = "document.querySelectorAll('.chart-table:not([hidden]) tbody tr').length";
    page.click(".panel [aria-expanded]").await;
    page.until(&format!("{rows} > 0")).await;

    page.click("[data-tile=tile_requests] a").await;
    drawn(&mut page).await;
    page.until("document.querySelectorAll('.opener').length === 8").await;
    assert_eq!(page.eval("new URLSearchParams(location.search).get('range')").await, json!("24h"));
    page.eval("history.back()").await;
    page.until("document.querySelectorAll('.tile').length === 14").await;
    page.click(".top-table a[href*='route=comparison']").await;
    page.until("document.querySelectorAll('.opener').length === 1").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_on_the_heatmap_opens_its_requests_by_mouse_and_by_keyboard() {
    let server = Setup::new(BINARY).start();
    traffic(&server).await;
    let mut page = sign_in(&server, "range=1h", 1440, 1000).await;
    page.until("document.querySelector('.heat canvas')?.width > 300").await;
    let place = page
        .eval(
            "(() => { const heat = document.querySelector('.heat'); heat.scrollIntoView({ block: 'center', behavior: 'instant' });
               const at = heat.getBoundingClientRect(); return [at.left, at.top, at.right, at.bottom]; })()",
        )
        .await;
    let at = |n: usize| place[n].as_f64().expect("a number");
    // From above the slowest row, in the upper left, to where the slowest are and never the lowest row: there are three at
    // least, since one of room is drawn above and below what there is, however fast the machine is.
    let lower = at(1) + 0.6 * (at(3) - at(1) - 22.0);
    page.drag((at(0) + 70.0, at(1) + 4.0), (at(2) - 8.0, lower)).await;
    page.until("new URLSearchParams(location.search).get('screen') === 'logs'").await;
    drawn(&mut page).await;
    let asked = page.eval("Object.fromEntries(new URLSearchParams(location.search))").await;
    assert_eq!(asked["range"], "custom");
    let seconds = |name: &str| asked[name].as_str().and_then(|text| text.parse::<i64>().ok());
    assert!(seconds("since") < seconds("until"), "{asked}");
    assert!(asked["min_ms"].as_str().is_some_and(|least| least.parse::<f64>().is_ok()), "{asked}");
    let slow = page.until("document.querySelectorAll('.opener').length").await;
    assert!((1..=8).contains(&slow.as_i64().unwrap()), "{slow}: {}", page.text().await);

    show(&mut page, &server, "range=1h").await;
    page.until("document.querySelector('.heat canvas')?.width > 300").await;
    page.eval("document.querySelector('.heat').focus()").await;
    for key in ["ArrowLeft", "Shift+ArrowDown", "Shift+ArrowDown"] {
        page.press(key).await;
    }
    page.until("document.querySelector('.heat [role=status]').textContent !== ''").await;
    page.press("Enter").await;
    page.until("new URLSearchParams(location.search).get('screen') === 'logs'").await;
    drawn(&mut page).await;

    // Of two rows beside each other, one begins at a fraction of a millisecond; both lead to their requests.
    for lower in 0..2 {
        show(&mut page, &server, "range=1h").await;
        page.until("document.querySelector('.heat canvas')?.width > 300").await;
        page.eval("document.querySelector('.heat').focus()").await;
        for key in std::iter::repeat_n("ArrowUp", 30).chain(std::iter::repeat_n("ArrowDown", lower)) {
            page.press(key).await;
        }
        page.press("Enter").await;
        page.until("new URLSearchParams(location.search).get('screen') === 'logs'").await;
        page.until("document.querySelector('.facet-box') !== null").await;
    }
    assert_eq!(page.errors(), Vec::<String>::new());
}
