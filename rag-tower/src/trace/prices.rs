//! Prices of models: a model, a moment and tokens in, what they cost out.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use time::OffsetDateTime;

use crate::answer::Usage;

/// What models cost, from when on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriceBook(BTreeMap<String, Vec<Price>>);

/// What a model costs from a moment on, in US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Price {
    since: OffsetDateTime,
    input: f64,
    output: f64,
}

/// A book that is replaced as prices change. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Prices(Arc<RwLock<Arc<PriceBook>>>);

// === impl PriceBook ===

impl PriceBook {
    /// Adds a price of a model, from a moment on, in US dollars for a million tokens of prompts and of answers.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, since: OffsetDateTime, input: f64, output: f64) -> Self {
        let prices = self.0.entry(model.into()).or_default();
        let at = prices.partition_point(|price| price.since <= since);
        prices.insert(at, Price { since, input, output });
        self
    }

    /// True when nothing has a price.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What tokens of an ask that began at this moment cost, in US dollars; none when the model has no price then.
    #[must_use]
    pub fn cost(&self, model: &str, at: OffsetDateTime, usage: Usage) -> Option<f64> {
        let prices = self.0.get(model)?;
        let price = prices.get(prices.partition_point(|price| price.since <= at).checked_sub(1)?)?;
        let (input, output) = (usage.input_tokens as f64, usage.output_tokens as f64);
        Some((input * price.input + output * price.output) / 1e6)
    }
}

// === impl Prices ===

impl Prices {
    /// The book as it is now.
    #[must_use]
    pub fn book(&self) -> Arc<PriceBook> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the book.
    pub fn set(&self, book: PriceBook) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_price_holds_until_the_next_begins() {
        let (first, second) = (datetime!(2026-01-01 0:00 UTC), datetime!(2026-02-01 0:00 UTC));
        let book = PriceBook::default().with("m", second, 2.0, 0.0).with("m", first, 1.0, 10.0);
        let mut usage = Usage::default();
        (usage.input_tokens, usage.output_tokens) = (1_000_000, 100_000);
        let cost = |model, at| book.cost(model, at, usage);
        assert_eq!(cost("m", first - Duration::SECOND), None);
        assert_eq!((cost("m", first), cost("m", second - Duration::SECOND)), (Some(2.0), Some(2.0)));
        assert_eq!((cost("m", second), cost("n", second)), (Some(2.0), None));
        assert_eq!(book.cost("m", second, Usage::default()), Some(0.0), "known to be nothing");
    }
}
