//! What a run found: cases in, a table, a result for a test and JUnit out. Canaries and credentials are masked.

use std::fmt;
use std::time::Duration;

use super::junit;

/// The longest text of what was sent or came back, in characters.
const MAX_SHOWN: usize = 240;
/// Longer words without a space may be tokens.
const MAX_WORD: usize = 40;

/// What a run found.
#[derive(Clone, Debug)]
#[must_use = "a report that nobody looks at proves nothing: `report.result().unwrap()`"]
pub struct Report {
    cases: Vec<Case>,
    took: Duration,
}

/// One check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Case {
    /// What kind of check it is.
    pub check: Check,
    /// Which one: the route, who calls it, and what is special about the request.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was sent, shortened and masked; empty where nothing was.
    pub sent: String,
    /// What came back, shortened and masked; of a case that passed, the status and the number of bytes.
    pub got: String,
    /// How long it took.
    pub took: Duration,
}

/// The kinds of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Check {
    /// What the run was given is enough to prove something.
    Setup,
    /// Each route has an entry, and each entry's route is there.
    Inventory,
    /// Without a credential there is no tenant.
    AbsentTenant,
    /// A foreign id looks like an unknown one, and nothing of another tenant is in any answer.
    Canary,
    /// Each role gets the status that it should.
    Roles,
    /// Own ids work, and canaries are seen where they belong.
    Control,
    /// What the service writes elsewhere holds no canary.
    Probe,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Otherwise, and why.
    Failed(String),
    /// It could not be told, and why: there was no answer, or the check could not have failed. It counts as a failure.
    Unproven(String),
}

/// The cases of a run that did not pass. Its `Debug` lists them, so that `report.result().unwrap()` reads well.
#[derive(Clone)]
pub struct Failures {
    cases: Vec<Case>,
    of: usize,
}

/// Replaces what must not be shown.
pub(super) struct Mask(Vec<(String, String)>);

// === impl Report ===

impl Report {
    pub(super) fn new(cases: Vec<Case>, took: Duration) -> Self {
        Self { cases, took }
    }

    /// Every case, in the order of the run.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The cases that did not pass.
    pub fn failures(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.outcome != Outcome::Passed)
    }

    /// How long the run took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Nothing when every case passed.
    ///
    /// # Errors
    /// [`Failures`] when one did not.
    pub fn result(&self) -> Result<(), Failures> {
        let cases: Vec<_> = self.failures().cloned().collect();
        match cases.is_empty() {
            true => Ok(()),
            false => Err(Failures { cases, of: self.cases.len() }),
        }
    }

    /// The report as JUnit XML, for a CI system; `name` is the suite's. A case that failed is a `failure`, an unproven
    /// one an `error`.
    #[must_use]
    pub fn to_junit(&self, name: &str) -> String {
        junit::document(name, &self.cases, self.took)
    }
}

impl fmt::Display for Report {
    /// A table of how many cases of each kind passed, and the ones that did not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14} {:>7} {:>7} {:>9}", "check", "passed", "failed", "unproven")?;
        for check in Check::ALL {
            let mut counts = [0_usize; 3];
            for case in self.cases.iter().filter(|case| case.check == check) {
                let of = match case.outcome {
                    Outcome::Passed => 0,
                    Outcome::Failed(_) => 1,
                    Outcome::Unproven(_) => 2,
                };
                counts[of] += 1;
            }
            if counts != [0; 3] {
                let [passed, failed, unproven] = counts;
                writeln!(f, "{:<14} {passed:>7} {failed:>7} {unproven:>9}", check.as_str())?;
            }
        }
        self.failures().try_for_each(|case| write!(f, "\n{case}"))
    }
}

// === impl Failures ===

impl Failures {
    /// The cases.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} cases did not pass:", self.cases.len(), self.of)?;
        self.cases.iter().try_for_each(|case| write!(f, "\n{case}"))
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Failures {}

// === impl Case ===

impl Case {
    pub(super) fn new(
        check: Check,
        name: String,
        outcome: Outcome,
        sent: String,
        got: String,
        took: Duration,
    ) -> Self {
        Self { check, name, outcome, sent, got, took }
    }

    /// A case for which nothing was sent.
    pub(super) fn plain(check: Check, name: String, outcome: Outcome) -> Self {
        Self::new(check, name, outcome, String::new(), String::new(), Duration::ZERO)
    }

    pub(super) fn took(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check.as_str(), self.name, self.outcome)?;
        if !self.sent.is_empty() {
            write!(f, "\n    sent {}", self.sent)?;
        }
        if !self.got.is_empty() {
            write!(f, "\n    got  {}", self.got)?;
        }
        Ok(())
    }
}

// === impl Check ===

impl Check {
    /// Every kind, in the order of a run.
    pub const ALL: [Self; 7] = [
        Self::Setup,
        Self::Inventory,
        Self::AbsentTenant,
        Self::Canary,
        Self::Roles,
        Self::Control,
        Self::Probe,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Inventory => "inventory",
            Self::AbsentTenant => "absent tenant",
            Self::Canary => "canary",
            Self::Roles => "roles",
            Self::Control => "control",
            Self::Probe => "probe",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Failed for this reason, if there is one.
    pub(super) fn of(fault: Option<String>) -> Self {
        fault.map_or(Self::Passed, Self::Failed)
    }

    /// Failed unless that holds.
    pub(super) fn unless(holds: bool, fault: impl FnOnce() -> String) -> Self {
        if holds { Self::Passed } else { Self::Failed(fault()) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => f.write_str(why),
            Self::Unproven(why) => write!(f, "unproven: {why}"),
        }
    }
}

// === impl Mask ===

impl Mask {
    /// Shows the second text of each pair in place of the first.
    pub(super) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(text, _)| !text.is_empty()).collect();
        // what is part of a longer one is replaced after it
        pairs.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self(pairs)
    }

    /// The text on one line, shortened and masked.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (secret, instead) in &self.0 {
            text = text.replace(secret, instead);
        }
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.+/=".contains(c);
        let mut out = String::new();
        let mut word = 0;
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            word = if token(c) { word + 1 } else { 0 };
            match word {
                0..=MAX_WORD => out.push(c),
                w if w == MAX_WORD + 1 => out.push('…'),
                _ => {}
            }
        }
        match out.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}…", &out[..end]),
            None => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_shown() {
        let mask = Mask::new([
            ("canary-4711".to_owned(), "[canary of a]".to_owned()),
            ("Bearer key-4711".to_owned(), "[credential]".to_owned()),
            ("key-4711".to_owned(), "[credential]".to_owned()),
        ]);
        assert_eq!(
            mask.shown("x canary-4711\nBearer key-4711 key-4711"),
            "x [canary of a] [credential] [credential]"
        );
        let token = "a".repeat(200);
        assert_eq!(mask.shown(&token).chars().count(), MAX_WORD + 1);
        assert_eq!(mask.shown(&"a ".repeat(400)).chars().count(), MAX_SHOWN + 1);
    }

    #[test]
    fn a_result_lists_what_did_not_pass() {
        let cases = vec![
            Case::plain(Check::Roles, "GET / as owner".to_owned(), Outcome::Passed),
            Case::plain(
                Check::Roles,
                "GET / as member".to_owned(),
                Outcome::Failed("expected 403".to_owned()),
            ),
            Case::plain(Check::Probe, "log".to_owned(), Outcome::Unproven("nothing in it".to_owned())),
        ];
        let report = Report::new(cases, Duration::ZERO);
        let failures = report.result().unwrap_err();
        assert_eq!(failures.cases().len(), 2);
        let said = format!("{failures:?}");
        assert!(said.contains("2 of 3") && said.contains("roles: GET / as member: expected 403"), "{said}");
        assert!(said.contains("probe: log: unproven: nothing in it"), "{said}");
        let table = report.to_string();
        assert!(table.contains("roles                1       1         0"), "{table}");
        assert!(Report::new(vec![], Duration::ZERO).result().is_ok());
    }
}
