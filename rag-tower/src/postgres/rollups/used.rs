//! Which asks in, what each tenant used of each model in each stretch of time out: exact, as a read of figures is, without
//! histograms, which are most of what a rollup weighs.

use std::collections::BTreeMap;

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::PgRollups;
use super::measures::{Count, Measures};
use super::read::{Reading, Seen, raw, waiting};
use super::slices::{Parts, Selection};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;

/// What a tenant used of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// The stretch of time, counted from 0.
    pub stretch: usize,
    /// Whose it is.
    pub tenant: Uuid,
    /// The model; empty when there was none.
    pub model: String,
    /// Asks.
    pub requests: i64,
    /// Asks whose tokens are an estimate.
    pub estimated: i64,
    /// Asks whose cost is known.
    pub priced: i64,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// What they cost, in US dollars x 1e-9.
    pub cost_nanos: i64,
}

/// What is added up, in the order of the statement.
const COUNTS: [Count; 6] = [
    Count::Requests,
    Count::Estimated,
    Count::Priced,
    Count::InputTokens,
    Count::OutputTokens,
    Count::CostNanos,
];

// === impl PgRollups ===

impl PgRollups {
    /// What each tenant used of each model in each of the stretches between `edges`, which are in order; all but the first and
    /// the last are at a whole quarter. Stretches without any are left out. The range of the selection plays no part.
    ///
    /// # Warning
    /// Nothing here proves that the caller is the owner, as with [`totals`](Self::totals).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn usage(
        tx: &mut OwnerTx,
        which: &Selection,
        edges: &[OffsetDateTime],
    ) -> Result<Vec<Used>, DatabaseError> {
        let parts = Parts::between(edges);
        let stretch = |at: OffsetDateTime| edges.partition_point(|edge| *edge <= at).saturating_sub(1);
        let mut sums: BTreeMap<(usize, Uuid, String), Measures> = BTreeMap::new();
        if !parts.whole.is_empty() {
            let (levels, firsts, lasts) = parts.whole();
            let statement = if which.tenant.is_some() { sql::USED_TRACE } else { sql::USED_TENANTS };
            // a stretch for each segment: one that lies in several is told apart by its buckets
            let folded = sqlx::query(statement)
                .bind(which.tenant.map(|tenant| tenant.as_uuid()))
                .bind(levels)
                .bind(firsts)
                .bind(lasts)
                .bind(edges)
                .bind(&which.route)
                .bind(&which.status)
                .bind(&which.channel)
                .bind(&which.model);
            for row in folded.fetch_all(tx.connection()).await? {
                // counted from 1
                let place = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(0).saturating_sub(1);
                let sum = sums.entry((place, row.try_get(1)?, row.try_get(2)?)).or_default();
                for (n, what) in COUNTS.into_iter().enumerate() {
                    sum.add(what, row.try_get(3 + n)?);
                }
            }
        }
        let reading = Reading { which, parts: &parts, tenants: true, facets: true, ttft: false };
        let key = |seen: &Seen<'_>| (stretch(seen.at), seen.tenant, seen.model.to_owned());
        waiting(tx.connection(), reading, key, &mut sums).await?;
        raw(tx.connection(), reading, key, &mut sums).await?;
        let used = |((stretch, tenant, model), sum): ((usize, Uuid, String), Measures)| Used {
            stretch,
            tenant,
            model,
            requests: sum[Count::Requests],
            estimated: sum[Count::Estimated],
            priced: sum[Count::Priced],
            input_tokens: sum[Count::InputTokens],
            output_tokens: sum[Count::OutputTokens],
            cost_nanos: sum[Count::CostNanos],
        };
        Ok(sums.into_iter().map(used).collect())
    }
}
