//! An answer from the passages' own sentences, for when no model is configured.

mod choose;
mod units;
mod weigh;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Ready, ready};
use tower_service::Service;

use self::choose::Choice;
use crate::answer::{AbstainReason, AnswerStream, Event, Finish, Usage, estimate_tokens};
use crate::error::Error;
use crate::port::GenerateRequest;

/// The name in `llm_provider` and `llm_model`.
pub(crate) const NAME: &str = "extractive";

/// Answers with the one to three sentences of the passages that fit the question best, each followed by its citation
/// `[n]`. It needs no model, downloads nothing, works in any language and never says what no passage says.
///
/// A sentence's worth is the share of the question's terms (those of [`text`](crate::text), and stems) that it holds,
/// each weighted by its rarity among the sentences, so that no list of stop words is needed; a term in the heading or
/// title above, in the sentence before or elsewhere in the passage counts a part. Words that only ask ("how many",
/// "bao nhiêu", "چند") do not count at all; they say whether a number or a name is wanted, and a sentence that holds one
/// is worth more. Terms that follow each other as in the question count more, long sentences and weaker passages less.
/// Sentences that repeat one already chosen are passed over (maximal marginal relevance, Carbonell and Goldstein 1998).
/// List items and table rows stay whole; a row is written with its column names.
///
/// Without passages it abstains. The trace row says `extractive` for provider and model; usage is estimated.
///
/// **Readiness:** always ready. **Cancellation:** nothing runs after `call` but the hand-out of finished text.
/// **Panics:** none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extractive(());

// === impl Extractive ===

impl Extractive {
    /// The generator; it has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl Service<GenerateRequest> for Extractive {
    type Response = AnswerStream;
    type Error = Error;
    type Future = Ready<Result<AnswerStream, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GenerateRequest) -> Self::Future {
        request.trace.set_provider(NAME, NAME);
        let max_chars = request.max_output_tokens.map_or(usize::MAX, |tokens| tokens as usize * 4);
        let choices = choose::choose(request.question.as_str(), &request.passages, max_chars);
        ready(Ok(AnswerStream::ready(events(&request, &choices))))
    }
}

fn events(request: &GenerateRequest, choices: &[Choice]) -> Vec<Event> {
    if choices.is_empty() {
        return vec![Event::Finished(Finish::Abstained(AbstainReason::NoDocuments))];
    }
    let deltas = choose::write(choices);
    let usage = Usage {
        input_tokens: request.messages.iter().map(|message| estimate_tokens(&message.text)).sum(),
        output_tokens: estimate_tokens(&deltas.concat()),
        estimated: true,
    };
    let deltas = deltas.into_iter().map(|text| Event::Delta(Arc::from(text)));
    deltas.chain([Event::Usage(usage), Event::Finished(Finish::Stop)]).collect()
}

#[cfg(test)]
mod tests;
