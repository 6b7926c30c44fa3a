//! A batch of texts in, their vectors out, computed in this process.

use crate::error::{Error, Stage};
use crate::port::{EmbedRequest, Embedding};
use crate::stage::ResponseFuture;

/// Bytes of text from which a batch goes to the blocking pool.
const BLOCKING_FROM: usize = 16 * 1024;

/// Embeds one text after the other: at once when they are short, else on a thread that may block.
pub(super) fn each(
    request: EmbedRequest,
    embed: impl Fn(&str) -> Embedding + Send + 'static,
) -> ResponseFuture<Vec<Embedding>> {
    ResponseFuture::new(async move {
        let size: usize = request.texts.iter().map(|text| text.len()).sum();
        let all = move || request.texts.iter().map(|text| embed(text)).collect();
        if size < BLOCKING_FROM {
            return Ok(all());
        }
        tokio::task::spawn_blocking(all).await.map_err(|error| Error::internal(Stage::Embed, error))
    })
}
