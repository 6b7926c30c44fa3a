//! What Postgres says of a tenant's corpus and of who asked: a row in, facts out.

use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};
use time::OffsetDateTime;

use super::database::Database;
use crate::trace::DatabaseIdentity;

/// A state of a tenant's documents: the corpus' version, and when it came to be, should a corpus begin anew.
pub(super) type State = (i64, OffsetDateTime);

/// What one read says.
#[derive(Debug)]
pub(super) struct CorpusState {
    /// Who Postgres says that the reader was.
    pub(super) reader: DatabaseIdentity,
    /// None without a corpus.
    pub(super) state: Option<State>,
}

/// What was read together with a credential, for the first read of texts with its scope: an ask sees documents as they
/// were when it was let in, or later.
#[derive(Debug)]
pub(super) struct SeenWithKey {
    corpus: CorpusState,
    database: Database,
    since: Instant,
}

/// For how long after its credential was looked up an ask may go by what was seen then. One that was kept for longer looks
/// again, and so does a program that keeps a scope.
const SEEN_FOR: Duration = Duration::from_secs(1);

// === impl CorpusState ===

impl CorpusState {
    /// From the four columns of a row that begin with the `first`.
    pub(super) fn of_row(row: &PgRow, first: usize) -> Result<Self, sqlx::Error> {
        let reader = DatabaseIdentity {
            role: row.try_get::<String, _>(first)?.into(),
            tenant_setting: row.try_get::<Option<String>, _>(first + 1)?.unwrap_or_default().into(),
        };
        Ok(Self { reader, state: Option::zip(row.try_get(first + 2)?, row.try_get(first + 3)?) })
    }
}

// === impl SeenWithKey ===

impl SeenWithKey {
    /// From the columns of a row that begin with the `first`, which was read from `database` `since` then; none when nobody
    /// read, since the key does not count.
    pub(super) fn of_row(
        row: &PgRow,
        first: usize,
        database: &Database,
        since: Instant,
    ) -> Result<Option<Self>, sqlx::Error> {
        if row.try_get_raw(first)?.is_null() {
            return Ok(None);
        }
        let corpus = CorpusState::of_row(row, first)?;
        Ok(Some(Self { corpus, database: database.clone(), since }))
    }

    /// It, where it still says what `database` holds.
    pub(super) fn of(&self, database: &Database) -> Option<&CorpusState> {
        (self.since.elapsed() <= SEEN_FOR && self.database.is(database)).then_some(&self.corpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_seen_counts_for_a_second_and_for_one_database() {
        let (database, other) = (Database::lazily(), Database::lazily());
        let reader = DatabaseIdentity { role: "rag_tenant".into(), tenant_setting: "".into() };
        let seen = |since| SeenWithKey {
            corpus: CorpusState { reader: reader.clone(), state: None },
            database: database.clone(),
            since,
        };
        let now = Instant::now();
        assert!(seen(now).of(&database.clone()).is_some());
        assert!(seen(now).of(&other).is_none());
        assert!(seen(now).of(&database.aside(1)).is_none(), "a pool of its own may be elsewhere");
        let long_ago = now.checked_sub(2 * SEEN_FOR).unwrap();
        assert!(seen(long_ago).of(&database).is_none());
    }
}
