//! A range in, how many asks of each tenant ended with which status out: exact, as a read of figures is, without histograms.

use std::collections::BTreeMap;

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::PgRollups;
use super::measures::{Count, Measures};
use super::read::{Reading, Seen, Sums, raw, waiting};
use super::series::Tally;
use super::slices::{Parts, Selection};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;

/// What totals tell apart, in the order of the statement.
const COUNTS: [Count; 5] =
    [Count::Requests, Count::Errors, Count::Abstained, Count::Cancelled, Count::Limited];

// === impl PgRollups ===

impl PgRollups {
    /// How many asks of `since..until` there are of each tenant, by the status that they ended with. None stands for no limit;
    /// a status that none has is left out, and so is a tenant without asks.
    ///
    /// # Warning
    /// Nothing here proves that the caller is the owner, as with [`totals`](Self::totals).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn ends(
        tx: &mut OwnerTx,
        since: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
    ) -> Result<BTreeMap<Uuid, BTreeMap<String, i64>>, DatabaseError> {
        let parts = Parts::of(since, until);
        let mut tallies: BTreeMap<Uuid, Tally> = BTreeMap::new();
        if !parts.whole.is_empty() {
            let (levels, firsts, lasts) = parts.whole();
            let totals = sqlx::query(sql::ENDS_TOTALS).bind(&levels).bind(&firsts).bind(&lasts);
            for row in totals.fetch_all(tx.connection()).await? {
                let mut sum = Measures::default();
                for (n, what) in COUNTS.into_iter().enumerate() {
                    sum.add(what, row.try_get(1 + n)?);
                }
                tallies.entry(row.try_get(0)?).or_default().add("", &sum);
            }
            let rare = sqlx::query_as::<_, (Uuid, String, i64)>(sql::ENDS_RARE);
            let rare = rare.bind(&levels).bind(&firsts).bind(&lasts);
            for (tenant, status, asks) in rare.fetch_all(tx.connection()).await? {
                tallies.entry(tenant).or_default().split(&status, asks);
            }
        }
        let which = Selection::default();
        let reading = Reading { which: &which, parts: &parts, tenants: true, facets: true, ttft: false };
        let key = |seen: &Seen<'_>| (seen.tenant, seen.status.to_owned());
        let mut sums: Sums<(Uuid, String)> = Sums::new();
        waiting(tx.connection(), reading, key, &mut sums).await?;
        raw(tx.connection(), reading, key, &mut sums).await?;
        for ((tenant, status), sum) in sums {
            tallies.entry(tenant).or_default().add(&status, &sum);
        }
        let statuses = |(tenant, mut tally): (Uuid, Tally)| {
            tally.tidy();
            (tenant, tally.statuses)
        };
        Ok(tallies.into_iter().map(statuses).filter(|(_, statuses)| !statuses.is_empty()).collect())
    }
}
