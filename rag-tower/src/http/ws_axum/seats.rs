//! How many connections are open: one tenant's, and all tenants' together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Stage};
use crate::http::WsLimit;
use crate::tenant::{TenantId, TenantScope};

/// When another try makes sense.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// The connections that are open. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Seats(Arc<Taken>);

#[derive(Default)]
struct Taken {
    by_tenant: Mutex<HashMap<TenantId, usize>>,
    /// Changed under the lock of the others.
    in_all: watch::Sender<usize>,
}

/// The place of one connection, given back when it is dropped.
pub(super) struct Seat {
    seats: Seats,
    tenant: TenantId,
}

// === impl Seats ===

impl Seats {
    /// Takes a place for a connection of the scope's tenant.
    ///
    /// A tenant that has all of its own is told so before it is told that there are none at all, so that what others do
    /// shows as little as it can.
    pub(super) fn take(&self, scope: &TenantScope, per_tenant: usize, in_all: usize) -> Result<Seat, Error> {
        let tenant = scope.tenant();
        let mut by_tenant = self.0.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        if by_tenant.get(&tenant).copied().unwrap_or_default() >= per_tenant {
            WsLimit::TenantConnections.count();
            let error = Error::new(ErrorKind::RateLimited, Stage::Http).with_retry_after(TRY_AGAIN);
            return Err(error.with_message(format!(
                "{per_tenant} connections are open already: close one, or try again later"
            )));
        }
        if *self.0.in_all.borrow() >= in_all {
            WsLimit::Connections.count();
            let error = Error::new(ErrorKind::Overloaded, Stage::Http).with_retry_after(TRY_AGAIN);
            return Err(error.with_message("the server has no room for another connection: try again later"));
        }
        self.0.in_all.send_modify(|taken| *taken += 1);
        *by_tenant.entry(tenant).or_default() += 1;
        metrics::gauge!("rag_ws_connections").increment(1);
        Ok(Seat { seats: self.clone(), tenant })
    }

    /// Waits until nobody has a place.
    pub(super) async fn all_given_back(&self) {
        let mut in_all = self.0.in_all.subscribe();
        drop(in_all.wait_for(|taken| *taken == 0).await);
    }
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        let Taken { by_tenant, in_all } = &*self.seats.0;
        let mut by_tenant = by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        in_all.send_modify(|taken| *taken = taken.saturating_sub(1));
        if let Some(count) = by_tenant.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_tenant.remove(&self.tenant);
            }
        }
        metrics::gauge!("rag_ws_connections").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::scope;

    #[test]
    fn t64_places_are_counted_per_tenant_and_given_back() {
        let seats = Seats::default();
        let take = |tenant: &str| seats.take(&scope(tenant), 2, 3);
        let refused = |tenant: &str| take(tenant).err().map(|error| error.kind());
        let (one, two) = (take("acme").unwrap(), take("acme").unwrap());
        assert_eq!(refused("acme"), Some(ErrorKind::RateLimited));
        let other = take("rival").unwrap();
        assert_eq!(refused("rival"), Some(ErrorKind::Overloaded));
        assert_eq!(refused("acme"), Some(ErrorKind::RateLimited), "its own limit first");
        drop(one);
        let three = take("acme").unwrap();
        drop((two, other, three));
        let Taken { by_tenant, in_all } = &*seats.0;
        assert!(
            *in_all.borrow() == 0 && by_tenant.lock().unwrap().is_empty(),
            "nothing is kept of who is gone"
        );
    }
}
