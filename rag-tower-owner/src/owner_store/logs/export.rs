//! A filter and columns in, every ask that passes as a file of lines out, one piece after the other.
//!
//! A piece is some rows: that is all that is in memory at a time, and the next is read when the one before is taken. Whoever
//! drops the pieces stops reading.

use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};
use rag_tower::postgres::DatabaseError;
use serde::Serialize;
use sqlx::FromRow;

use super::{LONG, LogFilter, LogLine, line_at};
use crate::auth::OwnerScope;
use crate::owner_store::OwnerStore;
use crate::owner_store::file::{Columns, Format};
use crate::owner_store::masked::mask;
use crate::owner_store::page::Page;

/// Rows of a piece: an answer may be long.
const PIECE: u32 = 200;
/// The columns of an export; the texts that may be long, which are the last, only when they are asked for.
pub(crate) const LOG_COLUMNS: [&str; 24] = [
    "trace_id",
    "ts",
    "tenant_id",
    "tenant",
    "channel",
    "route",
    "status",
    "reason",
    "error_kind",
    "latency_ms",
    "ttft_ms",
    "sources_count",
    "question_preview",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "llm_model",
    "feedback",
    "handoff",
    "cache",
    "session_id",
    "question",
    "answer",
    "error",
];
pub(crate) const USUAL_LOG_COLUMNS: usize = 21;

/// An ask with the texts that may be long.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
struct LongLine {
    #[serde(flatten)]
    #[sqlx(flatten)]
    line: LogLine,
    question: Option<String>,
    answer: Option<String>,
    error: Option<String>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Every ask of a filter as a file, the newest first, masked. The first piece is read when the first is asked for.
    ///
    /// # Errors
    /// [`DatabaseError`], in place of a piece; nothing comes after it.
    ///
    /// # Cancellation
    /// Dropping the stream ends it; a statement that is under way takes two seconds at most.
    pub fn export_logs(
        &self,
        owner: OwnerScope,
        filter: LogFilter,
        columns: Columns,
        format: Format,
    ) -> impl Stream<Item = Result<Bytes, DatabaseError>> + Send + use<> {
        let store = self.clone();
        let begin = Some((Page::first(PIECE), format.head(&columns)));
        try_unfold(begin, move |next| {
            let (store, owner, filter, columns) =
                (store.clone(), owner.clone(), filter.clone(), columns.clone());
            async move {
                let Some((page, mut text)) = next else { return Ok(None) };
                let list =
                    store.lines(&owner, &filter, &page, LONG, |long: &LongLine| line_at(&long.line)).await?;
                for mut long in list.items {
                    mask(&mut long.line.question_preview);
                    mask(&mut long.question);
                    mask(&mut long.answer);
                    mask(&mut long.error);
                    format.line(&columns, &long, &mut text);
                }
                let next = list.next.map(|next| (Page::first(PIECE).after(next), String::new()));
                Ok(Some((Bytes::from(text), next)))
            }
        })
    }
}
