//! The daily partitions of the trace rows.

mod close;

use super::database::Database;

/// Looks after the daily (UTC) partitions of the trace rows.
#[derive(Clone, Debug)]
pub struct PgPartitions {
    database: Database,
}

// === impl PgPartitions ===

impl PgPartitions {
    /// Those of this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }
}
