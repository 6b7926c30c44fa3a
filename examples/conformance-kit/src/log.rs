//! One line for each request: its method, the template of its path and the status. Nothing that anyone wrote.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// Older lines are dropped.
const MAX_LINES: usize = 10_000;

/// The last lines. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<VecDeque<String>>>);

// === impl Log ===

impl Log {
    /// The lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Keeps a line.
    pub fn line(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

pub(crate) async fn line(State(log): State<Log>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let what = format!("{} {path}", request.method());
    let response = next.run(request).await;
    log.line(format!("{what} {}", response.status().as_u16()));
    response
}
