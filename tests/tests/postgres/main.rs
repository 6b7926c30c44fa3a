//! The Postgres adapters against real Postgres: isolation first, then what they are for.

mod audit;
mod identity;
mod isolation;
mod journal;
mod partitions;
mod rollups;
mod search;
mod statements;
mod stores;
mod support;
mod traces;
