//! A function from an ask and its tenant's data in, a service out: what every tool that only computes has around it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use rag_tower::{Answer, Ask, Error, Scoped};
use tower_service::Service;

use crate::tenant_data::{TenantBook, TenantData};

/// A tool that answers from the tenant's data alone.
pub type Tool = fn(&TenantData, &Ask) -> Result<Answer, Error>;

/// The service of a [`Tool`]: looks the data of the ask's tenant up, and lets the tool answer.
///
/// - **Order:** a tool of a [`RouteLayer`](rag_tower::route::RouteLayer), inside memory, which lets it ask back.
/// - **Readiness:** always.
/// - **Cancellation:** dropping the future drops the book's; nothing else waits.
/// - **Panics:** never of its own.
pub struct ToolService<B> {
    book: Arc<B>,
    tool: Tool,
}

// === impl ToolService ===

impl<B: TenantBook> ToolService<B> {
    /// This tool over the tenants' data.
    pub fn new(book: Arc<B>, tool: Tool) -> Self {
        Self { book, tool }
    }
}

impl<B> Clone for ToolService<B> {
    fn clone(&self) -> Self {
        Self { book: Arc::clone(&self.book), tool: self.tool }
    }
}

impl<B> fmt::Debug for ToolService<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolService").finish_non_exhaustive()
    }
}

impl<B: TenantBook> Service<Ask> for ToolService<B> {
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let (book, tool) = (Arc::clone(&self.book), self.tool);
        Box::pin(async move { tool(&*book.data(ask.scope()).await?, &ask) })
    }
}
