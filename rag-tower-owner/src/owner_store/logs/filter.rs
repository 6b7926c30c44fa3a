//! Which asks a list shows: what the rollups tell apart, a text, and what only the rows know.

use rag_tower::postgres::{SearchText, Selection};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;

/// Which asks.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// What the rollups tell asks apart by, and when they began.
    pub which: Selection,
    /// Whose question or answer holds this, whatever the case and marks.
    pub text: Option<SearchText>,
    /// What only the rows know.
    pub fine: Fine,
}

/// What the rollups do not tell apart: rows have to be looked at for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fine {
    /// That ended for this reason.
    pub reason: Option<String>,
    /// With such feedback.
    pub feedback: Option<Thumbs>,
    /// With a ticket, or without.
    pub handoff: Option<bool>,
    /// That were answered from the cache, or made anew.
    pub cache: Option<Cache>,
    /// That took at least so many milliseconds.
    pub min_ms: Option<f64>,
    /// That took at most so many milliseconds.
    pub max_ms: Option<f64>,
    /// That cost at least so many US dollars.
    pub min_cost: Option<f64>,
    /// That cost at most so many US dollars.
    pub max_cost: Option<f64>,
    /// Of at least so many tokens.
    pub min_tokens: Option<i64>,
    /// Of at most so many tokens.
    pub max_tokens: Option<i64>,
}

/// What people thought of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thumbs {
    /// At least one thumb up.
    Up,
    /// At least one thumb down.
    Down,
    /// Any.
    Any,
    /// None at all.
    None,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// From the cache.
    Hit,
    /// Made anew.
    Miss,
}

// === impl LogFilter ===

impl From<Selection> for LogFilter {
    fn from(which: Selection) -> Self {
        Self { which, ..Self::default() }
    }
}

// === impl Fine ===

impl Fine {
    /// True when it leaves every row.
    pub(super) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Adds to a statement over rows `r`.
    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        let Self {
            reason,
            feedback,
            handoff,
            cache,
            min_ms,
            max_ms,
            min_cost,
            max_cost,
            min_tokens,
            max_tokens,
        } = self;
        if let Some(reason) = reason {
            sql.push(" AND r.reason = ").push_bind(reason.clone());
        }
        const THUMBS: &str = "EXISTS (SELECT FROM rag_tower.user_feedback f
            WHERE f.trace_id = r.trace_id AND f.tenant_id = r.tenant_id";
        match feedback {
            Some(Thumbs::Up) => sql.push(format!(" AND {THUMBS} AND f.rating > 0)")),
            Some(Thumbs::Down) => sql.push(format!(" AND {THUMBS} AND f.rating < 0)")),
            Some(Thumbs::Any) => sql.push(format!(" AND {THUMBS})")),
            Some(Thumbs::None) => sql.push(format!(" AND NOT {THUMBS})")),
            None => sql,
        };
        const TICKET: &str = "EXISTS (SELECT FROM rag_tower.handoff_tickets h
            WHERE h.trace_id = r.trace_id AND h.tenant_id = r.tenant_id)";
        match handoff {
            Some(true) => sql.push(format!(" AND {TICKET}")),
            Some(false) => sql.push(format!(" AND NOT {TICKET}")),
            None => sql,
        };
        match cache {
            Some(Cache::Hit) => sql.push(" AND r.tool_metadata ->> 'cache' = 'hit'"),
            Some(Cache::Miss) => sql
                .push(" AND r.llm_model IS NOT NULL AND r.tool_metadata ->> 'cache' IS DISTINCT FROM 'hit'"),
            None => sql,
        };
        let whole = [("r.total_tokens >= ", min_tokens), ("r.total_tokens <= ", max_tokens)];
        for (is, number) in whole {
            if let Some(number) = number {
                sql.push(" AND ").push(is).push_bind(*number);
            }
        }
        for (is, ms) in [("r.latency_us >= ", min_ms), ("r.latency_us <= ", max_ms)] {
            if let Some(ms) = ms {
                // a cast stays within its bounds
                sql.push(" AND ").push(is).push_bind((ms * 1_000.0).round() as i64);
            }
        }
        for (is, dollars) in [("r.cost_estimate >= ", min_cost), ("r.cost_estimate <= ", max_cost)] {
            if let Some(dollars) = dollars {
                sql.push(" AND ").push(is).push_bind(*dollars).push("::float8::numeric");
            }
        }
    }
}
