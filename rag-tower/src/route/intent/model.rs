//! Labelled texts in, a model out; a text in, the best label and its score out.

use super::features::{Features, Vector};
use super::svm::separate;

/// A text that a model learns from, or is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labelled<'a> {
    /// The text.
    pub text: &'a str,
    /// Its label, a small number; none for a text that is out of scope: it belongs to no label.
    pub label: Option<u32>,
}

/// What a model takes a text for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The label.
    pub label: u32,
    /// How sure that is: the higher, the less likely is the text out of scope. Compare it with a threshold of the same
    /// model; 0 is between.
    pub score: f32,
}

/// A linear classifier of short texts, learnt from examples alone.
///
/// For each label a support vector machine parts its examples from all others, and, when there are examples out of scope,
/// one more parts those from all others. A text's label is the one with the highest value; its score is that value less the
/// value of the machine for out of scope. The empty text always counts as one more example out of scope, so that even a
/// single label has something to be told apart from.
///
/// Learning is work for the processor alone and takes long when there is much to learn from (15,000 examples with 150
/// labels: seconds): from async code call it on a blocking thread. The same examples in the same order give the
/// same model, bit for bit.
#[derive(Clone, Debug)]
pub struct IntentModel {
    features: Features,
    labels: Vec<u32>,
    /// Values of each column for each machine, a column's together; the biases last.
    weights: Vec<f32>,
    machines: usize,
}

// === impl IntentModel ===

impl IntentModel {
    /// Learns from examples. Without any label every text is unknown.
    #[must_use]
    pub fn learn(examples: &[Labelled<'_>]) -> Self {
        let mut labels: Vec<u32> = examples.iter().filter_map(|example| example.label).collect();
        labels.sort_unstable();
        labels.dedup();
        let texts: Vec<&str> = examples.iter().map(|example| example.text).collect();
        let (features, mut vectors) = Features::learn(&texts);
        vectors.push(Vector::new());
        let columns = features.len();
        let outside = examples.iter().any(|example| example.label.is_none()).then_some(None);
        let targets: Vec<Option<u32>> = labels.iter().copied().map(Some).chain(outside).collect();
        let machines = targets.len();
        let mut weights = vec![0.0; (columns + 1) * machines];
        for (machine, target) in targets.iter().enumerate() {
            let belongs = |at: usize| examples.get(at).and_then(|example| example.label) == *target;
            let plane = separate(&vectors, columns, belongs);
            for (column, weight) in plane.into_iter().enumerate() {
                weights[column * machines + machine] = weight;
            }
        }
        Self { features, labels, weights, machines }
    }

    /// The label of a text; none when there are no labels.
    #[must_use]
    pub fn guess(&self, text: &str) -> Option<Guess> {
        self.scores(text).into_iter().reduce(|best, next| if next.score > best.score { next } else { best })
    }

    /// The score of every label, labels ascending.
    #[must_use]
    pub fn scores(&self, text: &str) -> Vec<Guess> {
        self.scores_and_outside(text).0
    }

    /// The score of every label, and the value of the machine for out of scope; none without one.
    pub(in crate::route) fn scores_and_outside(&self, text: &str) -> (Vec<Guess>, Option<f32>) {
        let mut values: Vec<f32> = self.row(self.features.len()).to_vec();
        for (column, x) in self.features.vector(text) {
            for (value, weight) in values.iter_mut().zip(self.row(column as usize)) {
                *value += x * weight;
            }
        }
        let outside = values.get(self.labels.len()).copied();
        let less = outside.unwrap_or_default();
        let guesses = self
            .labels
            .iter()
            .zip(&values)
            .map(|(&label, value)| Guess { label, score: value - less })
            .collect();
        (guesses, outside)
    }

    fn row(&self, column: usize) -> &[f32] {
        &self.weights[column * self.machines..(column + 1) * self.machines]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled<'a>(label: u32, texts: &[&'a str]) -> Vec<Labelled<'a>> {
        texts.iter().map(|text| Labelled { text, label: Some(label) }).collect()
    }

    fn bank() -> Vec<Labelled<'static>> {
        let outside = ["who painted the ceiling", "how tall is the highest mountain", "tell me a joke"];
        [
            labelled(
                0,
                &["send money to my sister", "transfer 50 to savings", "move money to another account"],
            ),
            labelled(7, &["what is my balance", "how much do i have in savings", "show the balance"]),
            outside.map(|text| Labelled { text, label: None }).to_vec(),
        ]
        .concat()
    }

    #[test]
    fn new_texts_get_the_label_of_what_they_are_like() {
        let model = IntentModel::learn(&bank());
        for (text, label) in [("please transfer money to mum", 0), ("show me what my balance is", 7)] {
            let guess = model.guess(text).unwrap();
            assert_eq!(guess.label, label, "{text}");
            assert!(guess.score > -0.2, "{text} {guess:?}");
        }
        assert!(model.guess("how tall is the ceiling").unwrap().score < -0.3);
    }

    #[test]
    fn without_examples_out_of_scope_what_is_unlike_all_scores_low() {
        let examples: Vec<_> = bank().into_iter().filter(|example| example.label == Some(7)).collect();
        let model = IntentModel::learn(&examples);
        assert!(model.guess("show my balance").unwrap().score > 0.3);
        assert!(model.guess("qqqq zzzz").unwrap().score < -0.3);
        assert_eq!(IntentModel::learn(&[]).guess("anything"), None);
    }

    #[test]
    fn the_same_examples_give_the_same_model() {
        let (one, other) = (IntentModel::learn(&bank()), IntentModel::learn(&bank()));
        assert_eq!(one.weights, other.weights);
        assert_eq!(one.scores("move savings"), other.scores("move savings"));
    }
}
