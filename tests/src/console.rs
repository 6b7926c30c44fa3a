//! The owner console in a browser, and traffic that is worth looking at.

use serde_json::{Value, json};

use crate::browser::Page;
use crate::server::{OWNER, PASSWORD, Server};

/// Questions of visitors, one for each way that an ask can go.
const QUESTIONS: [&str; 6] = [
    "Học phí khóa IELTS 6.5 là bao nhiêu và học trong mấy tuần?",
    "Trung tâm có chính sách hoàn học phí không?",
    "Tính học phí cho 2 học viên khóa IELTS 6.5",
    "So sánh khóa IELTS 6.5 và IELTS 7.0",
    "Hôm nay giá vàng bao nhiêu?",
    "Which IELTS courses do you have?",
];

/// The console of a server with the owner signed in, on the screen that a query of its address says.
pub async fn sign_in(server: &Server, query: &str, width: u32, height: u32) -> Page {
    let mut page = Page::open(&address(server, query), width, height).await;
    page.type_into("#username", OWNER).await;
    page.type_into("#password", PASSWORD).await;
    page.click("form button.primary").await;
    drawn(&mut page).await;
    page
}

/// The address of the console with a query such as `screen=logs`.
#[must_use]
pub fn address(server: &Server, query: &str) -> String {
    format!("http://{}/owner?{query}", server.addr)
}

/// Goes to a screen and waits until it is drawn.
pub async fn show(page: &mut Page, server: &Server, query: &str) {
    page.go(&address(server, query)).await;
    drawn(page).await;
}

/// Waits until the screen is drawn, and nothing on it moves any more.
pub async fn drawn(page: &mut Page) {
    page.until("document.querySelector('#screen[aria-busy=false]') !== null && document.querySelector('.skeleton') === null")
        .await;
    page.eval("Promise.allSettled(document.getAnimations().map((one) => one.finished)).then(() => null)")
        .await;
}

/// The queries of the screens that the navigation leads to, in its order.
pub async fn screens(page: &mut Page) -> Vec<String> {
    let links = page
        .eval(
            "[...document.querySelectorAll('.side .nav-link')].filter((link) => link.href && new URL(link.href).pathname === '/owner')
               .map((link) => 'screen=' + (new URL(link.href).searchParams.get('screen') ?? 'overview'))",
        )
        .await;
    let links = links.as_array().expect("links").iter();
    links.map(|link| link.as_str().expect("an address").to_owned()).collect()
}

/// Asks what visitors ask, rates the answers, and asks for a call twice.
pub async fn traffic(server: &Server) {
    let tenant = server.tenant();
    for (n, question) in QUESTIONS.into_iter().enumerate() {
        let answer = tenant.post("/query", &json!({"question": question, "channel": "web"})).await.json();
        let comment = (n == 1).then_some("Thông tin này đã cũ, gọi tôi 0912345678");
        let rating = if n % 2 == 0 { 1 } else { -1 };
        rate(server, &answer, rating, comment).await;
    }
    hand_off(server, "Tôi muốn gặp tư vấn viên, số của tôi là 0912345678").await;
    hand_off(server, "Nhờ tư vấn viên gọi lại cho tôi theo số 0987654321").await;
}

/// Asks for a person; gives the ticket's id.
pub async fn hand_off(server: &Server, question: &str) -> String {
    let answer = server.tenant().post("/query", &json!({ "question": question })).await.json();
    let ticket = answer["tool_metadata"]["ticket_id"].as_str();
    let ticket = ticket.unwrap_or_else(|| panic!("no ticket: {answer}")).to_owned();
    server.row(answer["trace_id"].as_str().expect("a trace id")).await;
    ticket
}

/// Rates an answer once its row is there.
pub async fn rate(server: &Server, answer: &Value, rating: i32, comment: Option<&str>) {
    let id = answer["trace_id"].as_str().expect("a trace id");
    server.row(id).await;
    let feedback = json!({"trace_id": id, "rating": rating, "comment": comment});
    let said = server.tenant().post("/feedback", &feedback).await;
    assert!(said.status.is_success(), "{}", said.text());
}
