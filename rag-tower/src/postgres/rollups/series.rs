//! Which asks in, what happened in each stretch of time, or of each kind, out: exact, as [`totals`](PgRollups::totals) is.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row};
use time::{Duration, OffsetDateTime};

use super::PgRollups;
use super::key::Level;
use super::measures::{Count, Measures};
use super::read::{Reading, Seen, read};
use super::slices::{Parts, Selection};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;

/// What happened, and how often with which status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// What happened.
    pub sum: Measures,
    /// Asks by status; one that none has is left out.
    pub statuses: BTreeMap<String, i64>,
}

/// Asks of a model whose cost is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpriced {
    /// Asks.
    pub requests: i64,
    /// Tokens of their prompts.
    pub input_tokens: i64,
    /// Tokens of their answers.
    pub output_tokens: i64,
}

/// What asks can be told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facet {
    /// Whose they are, as an id.
    Tenant,
    /// The route that answered.
    Route,
    /// How they ended.
    Status,
    /// How they came.
    Channel,
    /// The model that answered.
    Model,
}

// === impl PgRollups ===

impl PgRollups {
    /// What happened in each of the stretches between `edges`, which are in order. All but the first and the last are taken
    /// down to a whole quarter. The range of the selection plays no part.
    ///
    /// The sum of all of them is what [`totals`](Self::totals) says of the whole. Without `ttft` the times to the first
    /// token are left out.
    ///
    /// # Warning
    /// Nothing here proves that the caller is the owner, as with [`totals`](Self::totals).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn series(
        tx: &mut OwnerTx,
        which: &Selection,
        edges: &[OffsetDateTime],
        ttft: bool,
    ) -> Result<Vec<Tally>, DatabaseError> {
        let edges = aligned(edges);
        let parts = Parts::between(&edges);
        let reading = Reading { which, parts: &parts, tenants: false, facets: false, ttft };
        // the last that begins at this moment or before
        let stretch = |at: OffsetDateTime| edges.partition_point(|edge| *edge <= at).saturating_sub(1);
        let sums = read(tx.connection(), reading, |seen| (stretch(seen.at), seen.status.to_owned())).await?;
        let mut tallies = vec![Tally::default(); edges.len().saturating_sub(1)];
        for ((n, status), sum) in sums {
            if let Some(tally) = tallies.get_mut(n) {
                tally.add(&status, &sum);
            }
        }
        if !which.is_faceted() {
            for (at, status, asks) in rare(tx.connection(), which, &parts).await? {
                if let Some(tally) = tallies.get_mut(stretch(at)) {
                    tally.split(&status, asks);
                }
            }
        }
        tallies.iter_mut().for_each(Tally::tidy);
        Ok(tallies)
    }

    /// What happened in the selection's range, and of each model the asks whose cost is not known.
    ///
    /// # Warning
    /// As with [`series`](Self::series).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tally(
        tx: &mut OwnerTx,
        which: &Selection,
    ) -> Result<(Tally, BTreeMap<String, Unpriced>), DatabaseError> {
        let parts = Parts::of(which.since, which.until);
        let reading = Reading { which, parts: &parts, tenants: false, facets: false, ttft: true };
        let kind = |seen: &Seen<'_>| (seen.status.to_owned(), seen.model.to_owned());
        let sums = read(tx.connection(), reading, kind).await?;
        let mut tally = Tally::default();
        let mut unpriced: BTreeMap<String, Unpriced> = BTreeMap::new();
        for ((status, model), sum) in sums {
            tally.add(&status, &sum);
            unpriced.entry(model).or_default().add(&Unpriced::of(&sum));
        }
        // what the totals do not tell apart
        if !which.is_faceted() && !parts.whole.is_empty() {
            unpriced.remove("");
            let statement = match which.tenant {
                Some(_) => sql::KINDS_TRACE,
                None => sql::KINDS_SYSTEM,
            };
            let (levels, firsts, lasts) = parts.whole();
            let tenant = which.tenant.map(|tenant| tenant.as_uuid());
            let kinds = sqlx::query(statement).bind(tenant).bind(levels).bind(firsts).bind(lasts);
            for row in kinds.fetch_all(tx.connection()).await? {
                tally.split(row.try_get(0)?, row.try_get(2)?);
                let some = Unpriced {
                    requests: row.try_get(3)?,
                    input_tokens: row.try_get(4)?,
                    output_tokens: row.try_get(5)?,
                };
                unpriced.entry(row.try_get(1)?).or_default().add(&some);
            }
        }
        tally.tidy();
        // an ask without a model costs nothing that could be known
        unpriced.remove("");
        unpriced.retain(|_, unpriced| unpriced.requests > 0);
        Ok((tally, unpriced))
    }

    /// What happened in the selection's range, of each value of a facet; the empty value stands for none. Times to the first
    /// token are left out.
    ///
    /// # Warning
    /// As with [`series`](Self::series).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn by(
        tx: &mut OwnerTx,
        which: &Selection,
        facet: Facet,
    ) -> Result<BTreeMap<String, Measures>, DatabaseError> {
        let parts = Parts::of(which.since, which.until);
        let tenants = facet == Facet::Tenant;
        let reading = Reading { which, parts: &parts, tenants, facets: !tenants, ttft: false };
        read(tx.connection(), reading, |seen| match facet {
            Facet::Tenant => seen.tenant.to_string(),
            Facet::Route => seen.route.to_owned(),
            Facet::Status => seen.status.to_owned(),
            Facet::Channel => seen.channel.to_owned(),
            Facet::Model => seen.model.to_owned(),
        })
        .await
    }

    /// From which moment on and until before which there are asks, in whole quarters; none when there are none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn span(
        tx: &mut OwnerTx,
        which: &Selection,
    ) -> Result<Option<(OffsetDateTime, OffsetDateTime)>, DatabaseError> {
        let tenant = which.tenant.map(|tenant| tenant.as_uuid());
        let (first, last): (Option<OffsetDateTime>, Option<OffsetDateTime>) =
            sqlx::query_as(sql::SPAN).bind(tenant).fetch_one(tx.connection()).await?;
        Ok(first.zip(last).map(|(first, last)| (first, Level::Quarter.ceil(last + Duration::SECOND))))
    }
}

/// Edges inside a range at whole quarters, and still inside.
fn aligned(edges: &[OffsetDateTime]) -> Vec<OffsetDateTime> {
    let [first, inside @ .., last] = edges else { return Vec::new() };
    let inside = inside.iter().map(|at| Level::Quarter.floor(*at).max(*first));
    [*first].into_iter().chain(inside).chain([*last]).collect()
}

/// The asks of two statuses that totals count together with another, by bucket. An index has them alone.
async fn rare(
    connection: &mut PgConnection,
    which: &Selection,
    parts: &Parts,
) -> Result<Vec<(OffsetDateTime, String, i64)>, DatabaseError> {
    if parts.whole.is_empty() {
        return Ok(Vec::new());
    }
    let (levels, firsts, lasts) = parts.whole();
    let statement = if which.tenant.is_some() { sql::RARE_TRACE } else { sql::RARE_SYSTEM };
    let statement = sqlx::query_as(statement).bind(which.tenant.map(|tenant| tenant.as_uuid()));
    Ok(statement.bind(levels).bind(firsts).bind(lasts).fetch_all(connection).await?)
}

// === impl Tally ===

impl Tally {
    /// Adds asks of a status. Without one they are of all, as totals have them: each counts as the more usual of the statuses
    /// that are counted together.
    pub(super) fn add(&mut self, status: &str, sum: &Measures) {
        self.sum.merge(sum);
        let mut count = |status: &str, asks: i64| {
            *self.statuses.entry(status.to_owned()).or_default() += asks;
        };
        if !status.is_empty() {
            return count(status, sum[Count::Requests]);
        }
        let others = [
            ("ERROR", Count::Errors),
            ("ABSTAINED", Count::Abstained),
            ("CANCELLED", Count::Cancelled),
            ("RATE_LIMITED", Count::Limited),
        ];
        let mut success = sum[Count::Requests];
        for (status, what) in others {
            count(status, sum[what]);
            success -= sum[what];
        }
        count("SUCCESS", success);
    }

    /// Tells asks of a rare status apart from those that they were counted with.
    pub(super) fn split(&mut self, status: &str, asks: i64) {
        let from = match status {
            "FAIL_CLOSED" => "ERROR",
            "OVER_BUDGET" => "RATE_LIMITED",
            _ => return,
        };
        *self.statuses.entry(from.to_owned()).or_default() -= asks;
        *self.statuses.entry(status.to_owned()).or_default() += asks;
    }

    pub(super) fn tidy(&mut self) {
        self.statuses.retain(|_, asks| *asks != 0);
    }
}

// === impl Unpriced ===

impl Unpriced {
    /// Of asks that are told apart as far as rollups tell, so that nearly always all of them have a price or none has. Of
    /// some of them the tokens are taken in proportion.
    fn of(sum: &Measures) -> Self {
        let (asks, requests) = (sum[Count::Requests], sum[Count::Requests] - sum[Count::Priced]);
        let share = |tokens: i64| if asks > 0 { tokens.saturating_mul(requests) / asks } else { 0 };
        Self {
            requests,
            input_tokens: share(sum[Count::InputTokens]),
            output_tokens: share(sum[Count::OutputTokens]),
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}
