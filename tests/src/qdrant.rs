//! A Qdrant server for the reference server to use: the protocol on a real socket, the embedded engine behind it.

#[expect(dead_code, reason = "the library's own tests look at more of it")]
#[path = "../../rag-tower/src/test_util/vector_contract/qdrant/server.rs"]
mod server;

/// A running server. Dropping it stops it.
pub struct Qdrant(server::Server);

// === impl Qdrant ===

impl Qdrant {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self(server::Server::start().await)
    }

    /// What `QDRANT_URL` is set to.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The methods that were called so far.
    #[must_use]
    pub fn called(&self) -> Vec<&'static str> {
        self.0.seen().into_iter().map(|seen| seen.method).collect()
    }
}
