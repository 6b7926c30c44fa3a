//! Verdicts of a round in, the picture of it for the owner out.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Tenant;
use super::judge::Verdict;

/// How the canaries are.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct CanaryState {
    /// False when they do not ask.
    pub(super) enabled: bool,
    /// Null when nothing could be shown.
    pub(crate) ok: Option<bool>,
    pub(super) state: State,
    /// The last round.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub(super) at: Option<OffsetDateTime>,
    /// About when the next is.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub(super) next_at: Option<OffsetDateTime>,
    interval_s: u64,
    /// When their secrets were replaced last.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub(super) rotated_at: Option<OffsetDateTime>,
    /// Rounds of this process.
    pub(super) rounds: u64,
    /// Each of the last round.
    pub(super) checks: Vec<Check>,
}

/// What came of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Ok,
    /// Something of another tenant was seen.
    Leak,
    /// Nothing is shown, because something could not be looked at or its own was not there.
    Inconclusive,
    /// There was none yet.
    Waiting,
    /// There are none.
    Off,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Check {
    pub(super) name: CheckName,
    pub(super) ok: Option<bool>,
    /// In whose name.
    pub(super) tenant: Tenant,
    pub(super) detail: Option<String>,
    /// The ask, when it was one.
    pub(super) trace_id: Option<Uuid>,
    #[serde(skip)]
    verdict: Option<Verdict>,
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckName {
    OwnSecret,
    ForeignQuestion,
    ForeignSession,
    ForeignVector,
    ForeignRows,
    RotatedSecret,
}

/// What a round found.
#[derive(Clone, Debug)]
pub(super) struct Findings(Vec<Check>);

// === impl CanaryState ===

impl CanaryState {
    /// Before the first round, which comes when they ask `every` so often.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self {
            enabled: every.is_some(),
            ok: None,
            state: if every.is_some() { State::Waiting } else { State::Off },
            at: None,
            next_at: None,
            interval_s: every.map_or(0, |every| every.as_secs()),
            rotated_at: None,
            rounds: 0,
            checks: if every.is_some() { Findings::new().0 } else { Vec::new() },
        }
    }

    /// After a round.
    pub(super) fn conclude(&mut self, found: Findings, at: OffsetDateTime) {
        (self.state, self.ok) = found.conclusion();
        self.at = Some(at);
        self.next_at = Some(at + Duration::from_secs(self.interval_s));
        self.rounds += 1;
        self.checks = found.0;
    }

    /// The checks that saw what they must not see.
    pub(super) fn leaks(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.verdict, Some(Verdict::Leak(_))))
    }

    /// Why nothing is shown.
    pub(super) fn trouble(&self) -> Option<&str> {
        let stands = |check: &&Check| check.ok != Some(true) && check.detail.is_some();
        self.checks.iter().find(stands).and_then(|check| check.detail.as_deref())
    }
}

// === impl CheckName ===

impl CheckName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OwnSecret => "own_secret",
            Self::ForeignQuestion => "foreign_question",
            Self::ForeignSession => "foreign_session",
            Self::ForeignVector => "foreign_vector",
            Self::ForeignRows => "foreign_rows",
            Self::RotatedSecret => "rotated_secret",
        }
    }
}

// === impl Findings ===

impl Findings {
    /// Nothing was looked at yet.
    pub(super) fn new() -> Self {
        use CheckName::{
            ForeignQuestion, ForeignRows, ForeignSession, ForeignVector, OwnSecret, RotatedSecret,
        };
        let all = [
            (OwnSecret, Tenant::A),
            (OwnSecret, Tenant::B),
            (ForeignQuestion, Tenant::A),
            (ForeignSession, Tenant::A),
            (ForeignVector, Tenant::A),
            (ForeignRows, Tenant::A),
            (RotatedSecret, Tenant::A),
            (RotatedSecret, Tenant::B),
        ];
        let check =
            |(name, tenant)| Check { name, ok: None, tenant, detail: None, trace_id: None, verdict: None };
        Self(all.map(check).into())
    }

    /// Notes a verdict. One that is worse stays.
    pub(super) fn note(&mut self, name: CheckName, tenant: Tenant, verdict: Verdict, trace: Option<Uuid>) {
        let is = |check: &&mut Check| check.name == name && check.tenant == tenant;
        let Some(check) = self.0.iter_mut().find(is) else { return };
        if check.verdict.as_ref().is_some_and(|known| known.weight() > verdict.weight()) {
            return;
        }
        (check.ok, check.detail) = match &verdict {
            Verdict::Passed => (Some(true), None),
            Verdict::Leak(detail) | Verdict::Wrong(detail) => (Some(false), Some(detail.clone())),
            Verdict::Unknown(detail) => (None, Some(detail.clone())),
        };
        check.trace_id = trace;
        check.verdict = Some(verdict);
    }

    /// Notes why what was not looked at was not.
    pub(super) fn give_up(&mut self, why: &str) {
        for check in self.0.iter_mut().filter(|check| check.verdict.is_none()) {
            check.verdict = Some(Verdict::Unknown(why.to_owned()));
            check.detail = Some(why.to_owned());
        }
    }

    fn conclusion(&self) -> (State, Option<bool>) {
        let any = |is: fn(&Verdict) -> bool| self.0.iter().filter_map(|check| check.verdict.as_ref()).any(is);
        if any(|verdict| matches!(verdict, Verdict::Leak(_))) {
            return (State::Leak, Some(false));
        }
        if any(|verdict| matches!(verdict, Verdict::Wrong(_))) {
            return (State::Inconclusive, Some(false));
        }
        // before the first replacement there is nothing to look for
        let open = |check: &Check| check.ok != Some(true) && !(check.may_wait() && check.verdict.is_none());
        if self.0.iter().any(open) { (State::Inconclusive, None) } else { (State::Ok, Some(true)) }
    }
}

// === impl Check ===

impl Check {
    fn may_wait(&self) -> bool {
        self.name == CheckName::RotatedSecret
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passed() -> Findings {
        let mut found = Findings::new();
        for check in Findings::new().0.iter().filter(|check| !check.may_wait()) {
            found.note(check.name, check.tenant, Verdict::Passed, None);
        }
        found
    }

    #[test]
    fn a_round_is_as_good_as_its_worst_check() {
        assert_eq!(Findings::new().conclusion(), (State::Inconclusive, None));
        assert_eq!(passed().conclusion(), (State::Ok, Some(true)));
        let with = |name, verdicts: Vec<Verdict>| {
            let mut found = passed();
            for verdict in verdicts {
                found.note(name, Tenant::A, verdict, None);
            }
            found.conclusion()
        };
        let (leak, wrong) = (Verdict::Leak("l".into()), Verdict::Wrong("w".into()));
        let unknown = Verdict::Unknown("u".into());
        assert_eq!(with(CheckName::RotatedSecret, vec![Verdict::Passed]), (State::Ok, Some(true)));
        assert_eq!(with(CheckName::RotatedSecret, vec![unknown.clone()]), (State::Inconclusive, None));
        assert_eq!(with(CheckName::OwnSecret, vec![wrong]), (State::Inconclusive, Some(false)));
        assert_eq!(with(CheckName::ForeignRows, vec![unknown]), (State::Inconclusive, None));
        let kept = with(CheckName::ForeignVector, vec![leak, Verdict::Passed]);
        assert_eq!(kept, (State::Leak, Some(false)), "what was found stays found");
    }

    #[test]
    fn what_was_not_looked_at_says_why() {
        let mut state = CanaryState::new(Some(Duration::from_secs(60)));
        let mut found = Findings::new();
        found.note(CheckName::OwnSecret, Tenant::A, Verdict::Passed, Some(Uuid::nil()));
        found.give_up("the database is unavailable");
        state.conclude(found, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(state.trouble(), Some("the database is unavailable"));
        assert_eq!(state.leaks().count(), 0);
        let told = serde_json::to_value(&state).unwrap();
        assert_eq!((&told["state"], &told["ok"]), (&json!("inconclusive"), &json!(null)));
        assert_eq!(
            (&told["at"], &told["next_at"]),
            (&json!("1970-01-01T00:00:00Z"), &json!("1970-01-01T00:01:00Z"))
        );
        let first = json!({
            "name": "own_secret", "ok": true, "tenant": "canary-a", "detail": null, "trace_id": Uuid::nil(),
        });
        assert_eq!(told["checks"][0], first);
        for (check, told) in Findings::new().0.iter().zip(told["checks"].as_array().unwrap()) {
            assert_eq!(told["name"], check.name.as_str());
        }
    }

    #[test]
    fn off_and_waiting_are_told_apart() {
        let told = |every| serde_json::to_value(CanaryState::new(every)).unwrap();
        let (off, waiting) = (told(None), told(Some(Duration::from_secs(300))));
        assert_eq!(
            (&off["enabled"], &off["state"], &off["ok"]),
            (&json!(false), &json!("off"), &json!(null))
        );
        assert_eq!((&waiting["enabled"], &waiting["state"]), (&json!(true), &json!("waiting")));
        assert_eq!((&waiting["interval_s"], &waiting["rounds"]), (&json!(300), &json!(0)));
    }
}
