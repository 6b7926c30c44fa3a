//! [`Ask`] in, [`Ask`] out, or the word that there is no such branch.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use rag_tower::postgres::{Database, DatabaseError, TenantTx};
use rag_tower::tenant::{BranchId, Branches};
use rag_tower::{Answer, Ask, BoxAskService, Error, ErrorKind, Scoped, Stage, TenantId, TenantScope};
use tower_service::Service;
use uuid::Uuid;

const KNOWN: &str = "SELECT id FROM rag_tower.branches WHERE tenant_id = $1 AND id = ANY($2)";

/// Refuses an ask for branches of which the tenant has none: a credential for every branch narrows to any id, and an
/// id that is wrong would otherwise look like a branch without documents.
///
/// Branches are never removed, so those that were found once are not looked up again.
///
/// - **Order:** outermost of the stack: what it refuses was never accepted and leaves no row.
/// - **Readiness:** the stack's.
/// - **Cancellation:** dropping the future drops the look-up and the ask.
/// - **Panics:** never.
/// - **Errors:** [`NotFound`](ErrorKind::NotFound), and the database's when it cannot tell.
#[derive(Clone)]
pub(crate) struct KnownBranches {
    stack: BoxAskService,
    database: Database,
    found: Arc<RwLock<HashSet<(TenantId, BranchId)>>>,
}

// === impl KnownBranches ===

impl KnownBranches {
    pub(crate) fn new(stack: BoxAskService, database: &Database) -> Self {
        Self { stack, database: database.clone(), found: Arc::default() }
    }

    /// True when nothing has to be looked up.
    fn is_known(&self, scope: &TenantScope) -> bool {
        let Branches::Only(branches) = scope.branches() else { return true };
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        // none at all sees what every branch sees
        branches.is_empty() || branches.iter().any(|branch| found.contains(&(scope.tenant(), *branch)))
    }

    async fn look_up(&self, scope: &TenantScope) -> Result<(), Error> {
        let known = self.rows(scope).await.map_err(|error| error.at(Stage::Tenant))?;
        if known.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, Stage::Tenant).with_message("no such branch"));
        }
        let known = known.into_iter().map(|id| (scope.tenant(), BranchId::new(id)));
        self.found.write().unwrap_or_else(PoisonError::into_inner).extend(known);
        Ok(())
    }

    async fn rows(&self, scope: &TenantScope) -> Result<Vec<Uuid>, DatabaseError> {
        let Branches::Only(branches) = scope.branches() else { return Ok(Vec::new()) };
        let asked: Vec<Uuid> = branches.iter().map(|branch| branch.as_uuid()).collect();
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let rows = sqlx::query_scalar(KNOWN).bind(scope.tenant().as_uuid()).bind(asked);
        Ok(rows.fetch_all(tx.connection()).await?)
    }
}

impl Service<Ask> for KnownBranches {
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        // the one that is ready answers; its place is taken by a fresh one
        let fresh = self.stack.clone();
        let mut stack = std::mem::replace(&mut self.stack, fresh);
        if self.is_known(ask.scope()) {
            return Box::pin(stack.call(ask));
        }
        let this = self.clone();
        Box::pin(async move {
            this.look_up(ask.scope()).await?;
            stack.call(ask).await
        })
    }
}
