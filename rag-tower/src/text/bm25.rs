//! Terms in, sparse weights out, so that a dot product is BM25.

use std::collections::HashMap;

use super::{DocumentTerms, QueryTerms};
use crate::port::SparseVector;

/// BM25 cut in two: what depends on the document is stored, what depends on the tenant's statistics is sent with the
/// query.
///
/// From Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), with the customary
/// `k1 = 1.5` and `b = 0.75`:
///
/// - stored: `tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / average))`
/// - sent: `weight · ln(1 + (N − df + 0.5) / (df + 0.5))`, with the tenant's own `N` and `df`
///
/// The average length is a constant, not the mean of the tenant's chunks: the mean moves with every document, and
/// would make every stored weight wrong. Chunks are cut to one size, so the constant is near it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    k1: f32,
    b: f32,
    average: f32,
}

/// Between a paragraph of about 120 words and a full chunk of 400 tokens, which has about 256.
const AVERAGE_WORDS: f32 = 160.0;

// === impl Bm25 ===

impl Bm25 {
    /// `k1 = 1.5`, `b = 0.75`, and an average length of 160 words.
    #[must_use]
    pub const fn new() -> Self {
        Self { k1: 1.5, b: 0.75, average: AVERAGE_WORDS }
    }

    /// What is stored with a chunk.
    #[must_use]
    pub fn document(&self, terms: &DocumentTerms) -> SparseVector {
        let norm = self.k1 * (1.0 - self.b + self.b * terms.length as f32 / self.average);
        let (indices, values) = terms
            .counts
            .iter()
            .map(|&(id, count)| (id, count as f32 * (self.k1 + 1.0) / (count as f32 + norm)))
            .unzip();
        SparseVector { indices, values }
    }

    /// What is sent: the query's terms by the tenant's statistics, `chunks` in all and `frequencies` of them with each
    /// term. A term without a frequency counts as in none.
    #[must_use]
    pub fn query(&self, terms: &QueryTerms, chunks: u64, frequencies: &HashMap<u32, u64>) -> SparseVector {
        let (indices, values) = terms
            .as_slice()
            .iter()
            .map(|&(id, weight)| (id, weight * idf(chunks, frequencies.get(&id).copied().unwrap_or(0))))
            .unzip();
        SparseVector { indices, values }
    }
}

impl Default for Bm25 {
    fn default() -> Self {
        Self::new()
    }
}

/// Always above 0, also for a term that every chunk holds. Statistics that lag behind (`df > N`) count as `df = N`.
fn idf(chunks: u64, frequency: u64) -> f32 {
    let n = chunks as f32;
    let df = frequency.min(chunks) as f32;
    (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::super::{document_terms, query_terms, term_id};
    use super::*;

    fn dot(a: &SparseVector, b: &SparseVector) -> f32 {
        a.indices
            .iter()
            .zip(&a.values)
            .filter_map(|(id, x)| b.indices.iter().position(|other| other == id).map(|at| x * b.values[at]))
            .sum()
    }

    #[test]
    fn a_dot_product_is_the_formula() {
        let bm25 = Bm25::new();
        let text = "fee fee term";
        let stats = HashMap::from([(term_id("fee"), 3)]);
        let score = dot(&bm25.document(&document_terms(text)), &bm25.query(&query_terms("fee"), 10, &stats));
        let expected = (2.0 * 2.5) / (2.0 + 1.5 * (0.25 + 0.75 * 3.0 / 160.0)) * (1.0_f32 + 7.5 / 3.5).ln();
        assert!((score - expected).abs() < 1e-5, "{score} {expected}");
    }

    #[test]
    fn rare_words_weigh_more_and_none_weighs_nothing() {
        assert!(idf(100, 1) > idf(100, 50));
        assert!(idf(100, 100) > 0.0 && idf(0, 0) > 0.0 && idf(5, 9) == idf(5, 5));
    }

    #[test]
    fn short_texts_win_at_equal_counts() {
        let bm25 = Bm25::new();
        let query = bm25.query(&query_terms("ielts"), 2, &HashMap::new());
        let short = bm25.document(&document_terms("ielts fee"));
        let long = bm25.document(&document_terms(&format!("ielts {}", "word ".repeat(300))));
        assert!(dot(&short, &query) > dot(&long, &query));
    }
}
