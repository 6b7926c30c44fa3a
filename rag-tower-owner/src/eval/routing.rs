//! `eval routing`: labelled questions in, how well an intent model routes them out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rag_tower::eval::routing::{CurvePoint, Outcome, at_threshold, auroc, choose_threshold, curve, held_out};
use rag_tower::route::{IntentModel, Labelled};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::progress::Step;

/// The parts of the cross-validation.
const PARTS: usize = 5;
/// The steps of the curve: each costs one in two hundred of the right guesses.
const CURVE_STEPS: usize = 200;
/// As much of the curve is shown: beyond it, too much is turned away to be of use.
const SHOWN: f64 = 0.1;
/// The share of right guesses that the threshold may turn away.
const LOSS: f64 = 0.005;
/// The intent of a question that is out of scope.
const OUT_OF_SCOPE: &str = "oos";

/// What was measured.
pub(super) struct Report {
    intents: usize,
    learnt: usize,
    judged: (usize, usize),
    tested: bool,
    point: CurvePoint,
    accepting_all: CurvePoint,
    auroc: Option<f64>,
    curve: Vec<CurvePoint>,
    learning: Duration,
    p50_ms: f64,
    p99_ms: f64,
}

/// A labelled question, as it is in the file.
#[derive(Deserialize)]
struct Line {
    text: String,
    intent: String,
}

/// Questions and the numbers of their intents.
#[derive(Default)]
struct Questions {
    numbers: HashMap<String, u32>,
    known: Vec<Question>,
    test: Vec<Question>,
}

/// A question, and the number of its intent; none when it is out of scope.
type Question = (String, Option<u32>);

/// Reads the folder, learns, and judges. It learns six times, and takes as long: call it on a blocking thread.
pub(super) fn measure(folder: &Path) -> Result<Report, Failure> {
    let questions = Questions::read(folder)?;
    let known = labelled(&questions.known);

    let step = Step::spinner("Cross-validating");
    let outcomes = cross_validate(&known)?;
    step.done();
    let threshold = choose_threshold(&outcomes, LOSS);

    let step = Step::spinner("Learning");
    let began = Instant::now();
    let model = IntentModel::learn(&known);
    let learning = began.elapsed();
    step.done();

    let tested = !questions.test.is_empty();
    let test = labelled(if tested { &questions.test } else { &questions.known });
    let mut took = Vec::with_capacity(test.len());
    let answered: Vec<Outcome> = test
        .iter()
        .filter_map(|example| {
            let began = Instant::now();
            let outcome = Outcome::of(&model, example);
            took.push(began.elapsed().as_secs_f64() * 1e3);
            outcome
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let judged = if tested { answered } else { outcomes };
    let inside = judged.iter().filter(|outcome| outcome.expected.is_some()).count();
    Ok(Report {
        intents: questions.numbers.len(),
        learnt: known.len(),
        judged: (inside, judged.len() - inside),
        tested,
        point: at_threshold(&judged, threshold),
        accepting_all: at_threshold(&judged, f32::NEG_INFINITY),
        auroc: auroc(&judged),
        curve: curve(&judged, CURVE_STEPS),
        learning,
        p50_ms: percentile(&took, 0.5),
        p99_ms: percentile(&took, 0.99),
    })
}

/// Every example as judged by a model that has not learnt it, the parts on as many threads as there are processors.
fn cross_validate(known: &[Labelled<'_>]) -> Result<Vec<Outcome>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(PARTS);
    std::thread::scope(|scope| {
        let judge = |thread| {
            let parts = (thread..PARTS).step_by(threads);
            parts.flat_map(|part| held_out(known, part, PARTS)).collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || judge(thread))).collect();
        let mut outcomes = Vec::with_capacity(known.len());
        for thread in running {
            outcomes.extend(thread.join().map_err(|_| Failure::new("the cross-validation did not end"))?);
        }
        Ok(outcomes)
    })
}

fn labelled(questions: &[Question]) -> Vec<Labelled<'_>> {
    questions.iter().map(|(text, label)| Labelled { text, label: *label }).collect()
}

/// The nearest-rank percentile of ascending values.
fn percentile(ascending: &[f64], part: f64) -> f64 {
    let rank = (ascending.len() as f64 * part).ceil() as usize;
    ascending.get(rank.max(1) - 1).copied().unwrap_or_default()
}

// === impl Questions ===

impl Questions {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let mut all = Self::default();
        for name in ["train", "val", "oos_train", "oos_val"] {
            let read = all.file(&folder.join(format!("{name}.jsonl")))?;
            all.known.extend(read);
        }
        if all.numbers.is_empty() {
            return Err(Failure::usage(format!("{} has no labelled questions", folder.display())).mend(
                "Expected train.jsonl, and, where there are, val.jsonl, oos_train.jsonl, oos_val.jsonl, test.jsonl and \
                 oos_test.jsonl, with a line {\"text\": …, \"intent\": …} for each question.",
            ));
        }
        for name in ["test", "oos_test"] {
            let read = all.file(&folder.join(format!("{name}.jsonl")))?;
            all.test.extend(read);
        }
        Ok(all)
    }

    /// The questions of a file; none when there is no such file.
    fn file(&mut self, path: &Path) -> Result<Vec<Question>, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::because(format!("{} cannot be read", path.display()), &error)),
        };
        let mut questions = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let Line { text, intent } = serde_json::from_str(line).map_err(|error| {
                Failure::usage(format!("{}, line {number}: {error}", path.display()))
                    .mend("Expected an object with the texts `text` and `intent`.")
            })?;
            let next = self.numbers.len() as u32;
            let label = (intent != OUT_OF_SCOPE).then(|| *self.numbers.entry(intent).or_insert(next));
            questions.push((text, label));
        }
        Ok(questions)
    }
}

// === impl Report ===

impl Report {
    fn protocol(&self) -> &'static str {
        if self.tested {
            "learnt from the training and validation part, threshold by 5-fold cross-validation there, judged on the test part"
        } else {
            "5-fold cross-validation: there is no test part"
        }
    }

    fn shown(&self) -> impl Iterator<Item = &CurvePoint> {
        let least = self.accepting_all.in_scope_accuracy.unwrap_or_default() * (1.0 - SHOWN);
        self.curve
            .iter()
            .filter(move |point| point.in_scope_accuracy.is_none_or(|accuracy| accuracy >= least))
    }

    /// For people.
    pub(super) fn table(&self, with_curve: bool) -> String {
        let mut out = format!(
            "{} intents, {} questions learnt, {} in scope and {} out of scope judged\n{}\n\n",
            self.intents,
            self.learnt,
            self.judged.0,
            self.judged.1,
            self.protocol()
        );
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<38}{value:>10}");
        };
        row("in-scope accuracy", percent(self.point.in_scope_accuracy));
        row("out-of-scope recall", percent(self.point.oos_recall));
        row("AUROC", self.auroc.map_or("-".into(), |area| format!("{area:.4}")));
        row("threshold", format!("{:.3}", self.point.threshold));
        row("in-scope accuracy, nothing turned away", percent(self.accepting_all.in_scope_accuracy));
        row("learning, s", format!("{:.1}", self.learning.as_secs_f64()));
        row("p50 ms", format!("{:.3}", self.p50_ms));
        row("p99 ms", format!("{:.3}", self.p99_ms));
        if with_curve {
            let _ = writeln!(
                out,
                "\n{:>10}{:>20}{:>22}",
                "threshold", "in-scope accuracy", "out-of-scope recall"
            );
            for point in self.shown() {
                let (accuracy, recall) = (percent(point.in_scope_accuracy), percent(point.oos_recall));
                let _ = writeln!(out, "{:>10.3}{accuracy:>20}{recall:>22}", point.threshold);
            }
        }
        out
    }

    /// For programs: one object.
    pub(super) fn json(&self, with_curve: bool) -> String {
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let point = |point: &CurvePoint| {
            json!({
                "threshold": finite(point.threshold),
                "in_scope_accuracy": point.in_scope_accuracy.map(rounded),
                "oos_recall": point.oos_recall.map(rounded),
            })
        };
        let mut object = point(&self.point);
        object["auroc"] = json!(self.auroc.map(rounded));
        object["p50_ms"] = json!(rounded(self.p50_ms));
        object["p99_ms"] = json!(rounded(self.p99_ms));
        object["learning_s"] = json!(rounded(self.learning.as_secs_f64()));
        object["in_scope_accuracy_without_threshold"] =
            json!(self.accepting_all.in_scope_accuracy.map(rounded));
        object["in_scope"] = json!(self.judged.0);
        object["out_of_scope"] = json!(self.judged.1);
        object["judged_on"] = json!(if self.tested { "test" } else { "cross-validation" });
        if with_curve {
            object["curve"] = self.shown().map(point).collect();
        }
        format!("{object}\n")
    }
}

/// A threshold that accepts nothing is no number in JSON.
fn finite(threshold: f32) -> Option<f64> {
    threshold.is_finite().then(|| (f64::from(threshold) * 1e6).round() / 1e6)
}

fn percent(part: Option<f64>) -> String {
    part.map_or("-".into(), |part| format!("{:.2} %", part * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[(&str, &str)])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, lines) in files {
            let lines =
                lines.iter().map(|(text, intent)| format!("{}\n", json!({"text": text, "intent": intent})));
            std::fs::write(dir.path().join(name), lines.collect::<String>()).unwrap();
        }
        dir
    }

    const TRAIN: &[(&str, &str)] = &[
        ("where is my parcel", "parcel"),
        ("when does my parcel arrive", "parcel"),
        ("has the parcel been sent", "parcel"),
        ("track the parcel for me", "parcel"),
        ("the parcel is late", "parcel"),
        ("open a new account", "account"),
        ("i want an account", "account"),
        ("close my account please", "account"),
        ("how do i change my account", "account"),
        ("account settings", "account"),
    ];
    const OUTSIDE: &[(&str, &str)] =
        &[("sing a song", "oos"), ("who was the first king", "oos"), ("sing of kings", "oos")];

    #[test]
    fn a_test_part_is_judged_and_out_of_scope_lines_may_stand_anywhere() {
        let test = [("my parcel please", "parcel"), ("an account", "account"), ("sing me a song", "oos")];
        for dir in [
            folder(&[("train.jsonl", TRAIN), ("oos_train.jsonl", OUTSIDE), ("test.jsonl", &test)]),
            folder(&[
                ("train.jsonl", &[TRAIN, OUTSIDE].concat()),
                ("test.jsonl", &test[..2]),
                ("oos_test.jsonl", &test[2..]),
            ]),
        ] {
            let report = measure(dir.path()).unwrap();
            assert_eq!((report.learnt, report.judged, report.tested, report.intents), (13, (2, 1), true, 2));
            let figures: serde_json::Value = serde_json::from_str(&report.json(true)).unwrap();
            assert_eq!(figures["in_scope_accuracy"], 1.0, "{figures}");
            assert_eq!(figures["auroc"], 1.0, "{figures}");
            assert_eq!(figures["judged_on"], "test");
            assert!(figures["curve"].as_array().is_some_and(|curve| !curve.is_empty()));
            for key in ["oos_recall", "threshold", "p50_ms", "p99_ms"] {
                assert!(figures[key].is_f64(), "{key} {figures}");
            }
        }
    }

    #[test]
    fn without_a_test_part_the_figures_are_cross_validated_and_say_so() {
        let dir = folder(&[("train.jsonl", TRAIN)]);
        let report = measure(dir.path()).unwrap();
        assert_eq!((report.judged, report.tested), ((10, 0), false));
        let figures: serde_json::Value = serde_json::from_str(&report.json(false)).unwrap();
        assert_eq!(figures["judged_on"], "cross-validation");
        assert!(
            figures["oos_recall"].is_null() && figures["auroc"].is_null() && figures.get("curve").is_none()
        );
        let table = report.table(true);
        assert!(table.contains("5-fold cross-validation: there is no test part"), "{table}");
        assert!(table.contains("in-scope accuracy") && table.contains("AUROC"), "{table}");
    }

    #[test]
    fn what_is_wrong_is_named_with_the_file_and_the_line() {
        let empty = tempfile::tempdir().unwrap();
        let error = measure(empty.path()).err().unwrap().to_string();
        assert!(error.contains("no labelled questions") && error.contains("train.jsonl"), "{error}");
        let dir = folder(&[("train.jsonl", TRAIN)]);
        std::fs::write(dir.path().join("val.jsonl"), "{\"text\": \"a\", \"intent\": \"b\"}\n{\"text\": 1}\n")
            .unwrap();
        let error = measure(dir.path()).err().unwrap().to_string();
        assert!(error.contains("val.jsonl, line 2: "), "{error}");
    }
}
