//! Pictures of every screen of the console, in light, in dark and on a phone: a server and a browser in, PNG files out.
//!
//! `cargo run -p rag-tower-tests --bin screenshots -- FOLDER`; the folder is `screenshots/`, which git ignores, unless
//! another is named.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rag_tower_tests::browser::Page;
use rag_tower_tests::console::{drawn, screens, show, sign_in, traffic};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};

/// Name, colour scheme, and the window's size.
const LOOKS: [(&str, &str, u32, u32); 3] =
    [("light", "light", 1360, 860), ("dark", "dark", 1360, 860), ("phone", "light", 390, 844)];
/// What is worth a picture beside the screens of the navigation.
const BESIDE: [(&str, &str); 2] = [
    ("handoffs-board", "screen=handoffs&layout=board&range=30d"),
    ("usage-prices", "screen=usage&part=prices"),
];

/// Says to this program that it is to be the server: one command is enough then.
const SERVE: &str = "SCREENSHOTS_SERVE";

fn main() -> ExitCode {
    if std::env::var_os(SERVE).is_some() {
        return rag_tower_owner::run();
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(take());
    ExitCode::SUCCESS
}

async fn take() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "screenshots".to_owned()));
    std::fs::create_dir_all(&folder).expect("a folder to write into");
    let binary = std::env::current_exe().expect("a path");
    let server = Setup::new(binary).env(SERVE, "yes").start();
    fill(&server).await;
    let mut page = sign_in(&server, "", 1360, 860).await;
    let names = screens(&mut page).await;
    let mut all: Vec<(String, String)> = names
        .iter()
        .map(|query| (query.trim_start_matches("screen=").to_owned(), format!("{query}&range=30d")))
        .collect();
    all.extend(BESIDE.map(|(name, query)| (name.to_owned(), query.to_owned())));
    for (look, scheme, width, height) in LOOKS {
        page.prefer(scheme).await;
        page.resize(width, height).await;
        for (name, query) in &all {
            show(&mut page, &server, query).await;
            save(&mut page, &folder.join(format!("{name}-{look}.png"))).await;
        }
        // one that looked for passages: its trace, and why it was answered so
        show(&mut page, &server, "screen=logs&range=30d&route=course_search").await;
        page.click(".opener").await;
        page.until("document.querySelector('#drawer[open] .body:not([aria-busy])') !== null").await;
        save(&mut page, &folder.join(format!("trace-{look}.png"))).await;
        page.click("#drawer [data-tab=retrieval]").await;
        save(&mut page, &folder.join(format!("why-{look}.png"))).await;
    }
    println!("{} pictures in {}", LOOKS.len() * (all.len() + 2), folder.display());
}

/// A month of demo traffic where the server can make it, and a few asks in any case.
async fn fill(server: &Server) {
    traffic(server).await;
    let owner = server.owner().await;
    if !owner.post("/owner/api/demo-data", &json!({})).await.status.is_success() {
        return;
    }
    loop {
        let now: Value = owner.get("/owner/api/demo-data").await.json();
        if now["state"] != "filling" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn save(page: &mut Page, path: &Path) {
    drawn(page).await;
    // Charts and bars are drawn a frame later.
    page.eval("new Promise((done) => setTimeout(done, 400))").await;
    std::fs::write(path, page.picture().await).expect("a file");
}
