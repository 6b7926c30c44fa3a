//! Hits in, passages out: where the index's word is checked and the text is read.

use std::error::Error as _;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Passage;
use crate::port::{ChunkStore, Hit, WrongIdentity};
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// Reads the passages of hits, after refusing hits that claim a foreign origin. The chunk store's own word on origins
/// is compared at the door that every source's passages go through. Who the store was is on the receipt.
pub(super) async fn resolve<C: ChunkStore>(
    chunks: &C,
    scope: &TenantScope,
    trace: &TraceHandle,
    source: &Arc<str>,
    hits: Vec<Hit>,
) -> Result<Vec<Passage>, Error> {
    let foreign = hits.iter().filter(|hit| !scope.admits(hit.origin)).count();
    if foreign > 0 {
        metrics::counter!("rag_isolation_violations_total", "layer" => "index").increment(foreign as u64);
        tracing::error!(foreign, tenant = %scope.tenant(), "a vector index returned hits of another tenant");
        trace.receipt(|receipt| receipt.turn_away(hits.len()));
        return Err(Error::new(ErrorKind::Isolation, Stage::Retrieve));
    }
    if hits.is_empty() {
        return Ok(Vec::new());
    }
    let read = chunks.passages(scope, source, hits).await;
    let identity = match &read {
        Ok(read) => read.identity.clone(),
        Err(error) => error
            .source()
            .and_then(|cause| cause.downcast_ref::<WrongIdentity>())
            .map(|WrongIdentity(who)| who.clone()),
    };
    trace.receipt(|receipt| receipt.read_as(identity));
    Ok(read?.passages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::Origin;
    use crate::port::ReadPassages;
    use crate::stage::testing;
    use crate::tenant::TenantId;
    use crate::trace::DatabaseIdentity;

    /// A store that says who it was.
    struct Store(DatabaseIdentity, bool);

    impl ChunkStore for Store {
        async fn passages(
            &self,
            scope: &TenantScope,
            _: &Arc<str>,
            hits: Vec<Hit>,
        ) -> Result<ReadPassages, Error> {
            let Self(identity, right) = self;
            if !right {
                let error = Error::new(ErrorKind::Isolation, Stage::Retrieve);
                return Err(error.with_source(WrongIdentity(identity.clone())));
            }
            assert_eq!(scope.tenant(), TenantId::named("a"));
            let passages = hits.iter().map(|_| testing::passage("a", "text", 1.0)).collect();
            Ok(ReadPassages { passages, identity: Some(identity.clone()) })
        }
    }

    fn identity(role: &str) -> DatabaseIdentity {
        DatabaseIdentity { role: role.into(), tenant_setting: "a".into() }
    }

    fn hits(tenants: &[&str]) -> Vec<Hit> {
        let hit = |(n, tenant): (usize, &&str)| {
            let passage = testing::passage(tenant, &n.to_string(), 1.0);
            let origin = Origin::Tenant { tenant: TenantId::named(tenant), branch: None };
            Hit { chunk: passage.chunk, document: passage.document, origin, score: 1.0 }
        };
        tenants.iter().enumerate().map(hit).collect()
    }

    #[tokio::test]
    async fn who_the_store_was_is_on_the_receipt_right_or_wrong() {
        for (role, right) in [("rag_tenant", true), ("postgres", false)] {
            let (trace, scope) = (TraceHandle::new(), testing::scope("a"));
            let store = Store(identity(role), right);
            let read = resolve(&store, &scope, &trace, &"dense".into(), hits(&["a"])).await;
            assert_eq!(
                read.map(|passages| passages.len()).map_err(|error| error.kind()).ok(),
                right.then_some(1)
            );
            assert_eq!(trace.snapshot().receipt.database, Some(identity(role)));
        }
    }

    #[tokio::test]
    async fn hits_of_another_tenant_count_and_are_never_read() {
        let (trace, scope) = (TraceHandle::new(), testing::scope("a"));
        let store = Store(identity("rag_tenant"), true);
        let refused =
            resolve(&store, &scope, &trace, &"dense".into(), hits(&["a", "b", "a"])).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Isolation);
        let receipt = trace.snapshot().receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.dropped), (3, 0, 3));
        assert_eq!(receipt.database, None, "nothing was read");
    }
}
