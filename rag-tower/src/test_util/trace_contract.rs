//! What every store of trace rows must do, as a check to run over it: yours too.
//!
//! ```
//! use rag_tower::test_util::trace_contract::{self, KeptRow};
//! # use rag_tower::test_util::MemoryTraces as MyStore;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = MyStore::new();
//! trace_contract::holds(&store, async |id| {
//!     // whatever reads your store: every row that it has under this id
//!     let rows = store.rows().into_iter().filter(|row| row.trace_id == id);
//!     rows.map(|row| KeptRow { tenant: row.tenant_id, question: row.question, answer: row.answer })
//!         .collect::<Vec<_>>()
//! })
//! .await
//! .unwrap();
//! # });
//! ```
//!
//! | promise | because |
//! |---|---|
//! | each row of a batch is kept once, under its id and its tenant | it is what the ask leaves |
//! | a batch that is written again changes nothing | the writer tries again when it cannot know whether a write arrived |
//! | a row that is there already is left as it is, and the others of its batch are kept | batches are cut anew after a restart |
//! | a row that is twice in a batch is kept once | so may it be twice in what is read from a journal |
//! | an empty batch is nothing | |
//! | two batches may be written at once | the writer has two under way |
//! | a row of some days ago is kept | rows wait in the journal while the store is away |
//! | text of any kind is kept in some form, or its batch is refused whole as [`InvalidInput`](ErrorKind::InvalidInput) | a write that can never succeed must not be tried for ever, and must not take others with it |

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join;
use serde_json::json;
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

pub use super::BrokenPromise;
use super::promise::{Kept, same};
use crate::answer::Finish;
use crate::ask::AskId;
use crate::error::{Error, ErrorKind};
use crate::tenant::TenantId;
use crate::trace::{Outcome, TraceRow, TraceStore};

/// A row as the store has it: as much of it as the suite looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// What was asked.
    pub question: Option<Arc<str>>,
    /// What was answered.
    pub answer: Option<Arc<str>>,
}

/// Runs the contract over a store, whose rows `kept` reads: every one that is there under an id. What the suite writes stays there.
///
/// # Errors
/// The first promise that the store breaks.
pub async fn holds<S: TraceStore>(
    store: &S,
    kept: impl AsyncFn(AskId) -> Vec<KeptRow>,
) -> Result<(), BrokenPromise> {
    written_once_and_never_changed(store, &kept).await?;
    two_batches_at_once(store, &kept).await?;
    rows_that_come_late(store, &kept).await?;
    text_of_any_kind(store, &kept).await
}

async fn written_once_and_never_changed<S: TraceStore>(
    store: &S,
    kept: &impl AsyncFn(AskId) -> Vec<KeptRow>,
) -> Kept {
    let [a, b] = [tenant(), tenant()];
    let batch = [row(a, "one"), row(b, "two")];
    store.write(&batch).await?;
    are_kept("each row of a batch is kept once, under its id and its tenant", &batch, kept).await?;
    store.write(&batch).await?;
    are_kept("a batch that is written again changes nothing", &batch, kept).await?;

    let (mut changed, new) = (batch[0].clone(), row(a, "three"));
    changed.answer = Some("another".into());
    changed.tenant_id = b;
    store.write(&[changed, new.clone(), new.clone()]).await?;
    are_kept("a row that is there already is left as it is", &batch, kept).await?;
    are_kept("what is new in a batch is kept, once if it is there twice", &[new], kept).await?;
    store.write(&[]).await?;
    Ok(())
}

async fn two_batches_at_once<S: TraceStore>(store: &S, kept: &impl AsyncFn(AskId) -> Vec<KeptRow>) -> Kept {
    let tenant = tenant();
    let [one, two] = ["one", "two"].map(|half| (0..50).map(|_| row(tenant, half)).collect::<Vec<_>>());
    try_join(store.write(&one), store.write(&two)).await?;
    are_kept("two batches that are written at once are both kept", &[one, two].concat(), kept).await
}

async fn rows_that_come_late<S: TraceStore>(store: &S, kept: &impl AsyncFn(AskId) -> Vec<KeptRow>) -> Kept {
    let days = [1, 3].map(|days| {
        let then = OffsetDateTime::now_utc() - Duration::from_secs(days * 24 * 3600);
        let then = Timestamp::from_unix(NoContext, then.unix_timestamp().unsigned_abs(), 0);
        row_of(AskId::new(Uuid::new_v7(then)), tenant(), "late")
    });
    store.write(&days).await?;
    are_kept("a row of some days ago is kept", &days, kept).await
}

async fn text_of_any_kind<S: TraceStore>(store: &S, kept: &impl AsyncFn(AskId) -> Vec<KeptRow>) -> Kept {
    for text in ["", "a\0b", "'; DROP TABLE x; --", "\u{202e}\u{feff}\u{ffff}", "\n\r\t\\\"{}", "Học phí?"]
    {
        let (fine, mut odd) = (row(tenant(), "fine"), row(tenant(), text));
        odd.tool_metadata.insert(text.to_owned(), json!(text));
        let written = store.write(&[fine.clone(), odd.clone()]).await;
        let counts = [kept(fine.trace_id).await.len(), kept(odd.trace_id).await.len()];
        let expected = match written {
            Ok(()) => [1, 1],
            Err(error) if is_refusal(&*error) => [0, 0],
            Err(error) => return Err(error.into()),
        };
        let promise = "text of any kind is kept in some form, or its batch is refused whole as invalid input";
        same(promise, (text, counts), (text, expected))?;
    }
    Ok(())
}

fn is_refusal(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::InvalidInput)
}

async fn are_kept(
    promise: &'static str,
    rows: &[TraceRow],
    kept: &impl AsyncFn(AskId) -> Vec<KeptRow>,
) -> Kept {
    for row in rows {
        let expected =
            KeptRow { tenant: row.tenant_id, question: row.question.clone(), answer: row.answer.clone() };
        same(promise, kept(row.trace_id).await, vec![expected])?;
    }
    Ok(())
}

fn tenant() -> TenantId {
    TenantId::new(Uuid::now_v7())
}

fn row(tenant: TenantId, question: &str) -> TraceRow {
    row_of(AskId::generate(), tenant, question)
}

fn row_of(id: AskId, tenant: TenantId, question: &str) -> TraceRow {
    let mut row = TraceRow::new(id, tenant, Outcome::Completed(Finish::Stop), Duration::from_millis(12));
    row.question = Some(question.into());
    row.answer = Some("6.500.000 đồng [1]".into());
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{BoxError, Stage};
    use crate::test_util::MemoryTraces;

    fn read(rows: impl IntoIterator<Item = TraceRow>, id: AskId) -> Vec<KeptRow> {
        let rows = rows.into_iter().filter(|row| row.trace_id == id);
        rows.map(|row| KeptRow { tenant: row.tenant_id, question: row.question, answer: row.answer })
            .collect()
    }

    #[tokio::test]
    async fn rows_in_memory_keep_it() {
        let store = MemoryTraces::new();
        holds(&store, async |id| read(store.rows(), id)).await.unwrap();
    }

    /// Keeps whatever comes.
    #[derive(Default)]
    struct Everything(std::sync::Mutex<Vec<TraceRow>>);

    impl TraceStore for Everything {
        async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
            self.0.lock().unwrap().extend_from_slice(rows);
            Ok(())
        }
    }

    /// Writes rows one by one, until one is refused.
    struct OneByOne(MemoryTraces);

    impl TraceStore for OneByOne {
        async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
            for row in rows {
                if row.question.as_deref().is_some_and(|question| question.contains('\0')) {
                    return Err(Error::new(ErrorKind::InvalidInput, Stage::Trace).into());
                }
                self.0.write(std::slice::from_ref(row)).await?;
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_that_breaks_it_is_told_where() {
        let store = Everything::default();
        let broken = holds(&store, async |id| read(store.0.lock().unwrap().clone(), id)).await.unwrap_err();
        assert!(
            broken.to_string().starts_with("a batch that is written again changes nothing: "),
            "{broken}"
        );
        let store = OneByOne(MemoryTraces::new());
        let broken = holds(&store, async |id| read(store.0.rows(), id)).await.unwrap_err();
        assert!(broken.to_string().starts_with("text of any kind is kept in some form"), "{broken}");
        let store = MemoryTraces::new();
        store.set_away(true);
        let broken = holds(&store, async |_| Vec::new()).await.unwrap_err();
        assert!(broken.to_string().starts_with("a call that nothing speaks against succeeds"), "{broken}");
    }
}
