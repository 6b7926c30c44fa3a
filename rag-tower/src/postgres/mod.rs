#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>postgres</code></span>")]
//! Postgres: traces, conversations, documents, credentials, feedback and tickets, each tenant's behind row-level
//! security.
//!
//! # Two ways in
//! **A server** makes the roles and the whole schema with [`bootstrap`], as a superuser and only at start, and then
//! connects as a login that has no right of its own: [`Database::connect`] refuses any other, and refuses a schema whose
//! policies have a hole.
//!
//! **An application that only records its traces** applies the trace tables as its own role with [`migrate_traces`] and
//! connects with [`Database::connect_own`]. No other role is needed, and nothing outside the schema `rag_tower` is
//! touched.
//!
//! ```no_run
//! # async fn run(url: &str) -> Result<(), rag_tower::postgres::DatabaseError> {
//! use rag_tower::postgres::{Database, DatabaseOptions, PgTraceStore, migrate_traces};
//!
//! migrate_traces(url).await?;
//! let database = Database::connect_own(&DatabaseOptions::new(url).max_connections(2)).await?;
//! let store = PgTraceStore::new(&database);
//! # drop(store); Ok(()) }
//! ```
//!
//! # The only way to data
//! No pool is reachable. A [`TenantTx`] is a transaction that became the role `rag_tenant` and one tenant, both until it
//! ends. Four things are not one tenant's, and each has a role with policies of its own:
//!
//! | role | may | used by |
//! |---|---|---|
//! | `rag_tenant` | one tenant's rows | [`TenantTx`] |
//! | `rag_writer` | append trace rows and what they add to rollups, read back their ids | [`PgTraceStore`] |
//! | `rag_resolver` | see the key whose hash is presented, and its tenant | [`PgResolver`] |
//! | `rag_owner` | read traces, feedback, tickets and rollups; keep the registry; append to the audit log | [`OwnerTx`] |
//! | `rag_jobs` | see which tenants have work waiting; fold rollups; make, index and drop days | [`PgDocuments::tenants_behind`], [`PgRollups`], [`PgPartitions`] |
//!
//! Without a tenant every table is empty for the tenant's role and for the owner of the tables. The other four see beyond one
//! tenant what the table says, behind the types it names, and [`Database::connect`] refuses a database where they see more.
//!
//! # Cancellation, and what an error leaves behind
//! Each method here is one transaction, unless it says otherwise. Dropping its future before the commit was sent undoes all of
//! it; after that it may or may not have taken place, as with an error of the commit itself. Nothing goes on in the background, but
//! for a statement that Postgres is at, which it undoes when it notices.
//!
//! **Readiness** is the pool's: a method waits for a connection, for at most [`DatabaseOptions::acquire_timeout`].

mod audit;
mod bootstrap;
mod corpus_state;
mod counts;
mod database;
mod documents;
mod error;
mod feedback;
mod handoffs;
mod hits;
mod id;
mod known_texts;
mod memory_store;
mod partitions;
mod prices;
mod resolver;
mod rollups;
mod search_text;
mod settings;
mod shared_read;
mod sources;
mod spans;
mod sql;
mod tenant_tx;
mod text;
mod trace_store;

pub use self::audit::Finding;
pub use self::bootstrap::{APP_LOGIN, bootstrap, migrate_traces, migrations};
pub use self::database::{Database, DatabaseOptions};
pub use self::documents::{Behind, PgDocuments};
pub use self::error::{Cause, DatabaseError};
pub use self::feedback::{PgFeedback, Rating};
pub use self::handoffs::{NewHandoff, Opened, PgHandoffs};
pub use self::hits::hits_of_row;
pub use self::memory_store::PgMemoryStore;
pub use self::partitions::{Day, Dropped, Kept, Partitions, PgPartitions, Upkeep};
pub use self::prices::{PgPrices, Priced, Repriced};
pub use self::resolver::{KeyFacts, PgResolver, TokenFacts};
pub use self::rollups::{
    Count, Facet, Folded, Lag, Measures, PgRollups, Selection, Sketch, SketchError, Slice, Tally, Unpriced,
    Used,
};
pub use self::search_text::SearchText;
pub use self::settings::{PgSettings, TenantSettings};
pub use self::sources::sources_of_row;
pub use self::spans::spans_of_row;
pub use self::tenant_tx::{OwnerTx, TenantTx};
pub use self::trace_store::PgTraceStore;
pub use crate::trace::{PriceBook, Prices};

/// Every statement sent while serving, with the role it runs as (empty: the login). For a test that prepares them all.
#[doc(hidden)]
#[must_use]
pub fn statements() -> &'static [(&'static str, &'static str)] {
    sql::ALL
}

/// The tables that the probe at start writes to as a tenant, and those that it only reads. For a test that compares them with
/// what a tenant's role may do.
#[doc(hidden)]
#[must_use]
pub fn probed() -> (Vec<&'static str>, Vec<&'static str>) {
    audit::probed()
}
