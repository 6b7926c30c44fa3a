//! The app's own business, which does not change: it knows opening hours.

use std::io::Write;
use std::net::SocketAddr;

/// Answers a question for whoever asks.
pub(crate) fn answer(who: &str, question: &str) -> String {
    match question.to_lowercase() {
        text if text.contains("open") => format!("For {who}: we open at 8 and close at 21."),
        text if text.contains("where") => format!("For {who}: 12 Lake Street."),
        _ => format!("For {who}: I can tell you when we open and where we are."),
    }
}

/// Says where the app listens, on one line.
pub(crate) fn announce(addr: SocketAddr) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "listening on http://{addr}")
}

/// Resolves when the app is asked to end.
pub(crate) async fn end() {
    let _ = tokio::signal::ctrl_c().await;
}
