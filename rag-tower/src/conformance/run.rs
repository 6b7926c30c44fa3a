//! The checks in their order: claims in, a case for each check out.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http::{HeaderName, Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::{Answer, ask};
use super::entry::{Access, Entry, Reference};
use super::fixture::{Tenant, text_of};
use super::inventory::Operation;
use super::kit::Claims;
use super::principal::Principal;
use super::report::{Case, Check, Mask, Outcome, Report};
use super::request::{Sending, request};
use crate::error::BoxError;

/// A shorter id could be in an answer by chance.
const MIN_ID: usize = 16;

/// One run.
pub(super) struct Run<'a, S> {
    service: S,
    pub(super) claims: &'a Claims,
    mask: Mask,
    /// How many ids of a kind a tenant has used up.
    used: Mutex<HashMap<(String, String), usize>>,
    /// Tenants whose canary was seen where it belongs.
    seen: Mutex<BTreeSet<String>>,
}

/// An answer to what was sent.
pub(super) struct Asked {
    pub(super) sent: String,
    pub(super) answer: Result<Answer, String>,
}

/// A case, and whether the route's handler was seen in it.
type Tried = (Vec<Case>, bool);

// === impl Run ===

impl<'a, S> Run<'a, S> {
    pub(super) fn new(service: S, claims: &'a Claims) -> Self {
        let canaries = claims.tenants.iter().flat_map(|tenant| {
            tenant.canaries.iter().map(|canary| (canary.clone(), format!("[canary of {}]", tenant.name)))
        });
        let secrets = claims.principals.iter().flat_map(Principal::secrets);
        let mask = Mask::new(canaries.chain(secrets.map(|secret| (secret, "[credential]".to_owned()))));
        Self { service, claims, mask, used: Mutex::default(), seen: Mutex::default() }
    }

    /// What must not be in an answer to this principal to a request that named these ids.
    pub(super) fn foreign_marks(&self, principal: &Principal, sent: &[String]) -> Vec<String> {
        if principal.sees_all {
            return Vec::new();
        }
        let others =
            self.claims.tenants.iter().filter(|tenant| Some(&tenant.name) != principal.tenant.as_ref());
        let mut marks = Vec::new();
        for tenant in others {
            marks.extend(tenant.canaries.iter().cloned());
            let ids = self
                .claims
                .fixtures
                .iter()
                .filter(|fixture| fixture.is_secret)
                .flat_map(|fixture| fixture.ids_of(&tenant.name))
                .map(text_of);
            marks.extend(ids.filter(|id| id.len() >= MIN_ID && !sent.contains(id)));
        }
        marks
    }

    /// What is wrong with an answer because of what is in it.
    pub(super) fn leak(&self, answer: &Answer, marks: &[String]) -> Option<String> {
        let mark = answer.holds(marks)?;
        let owner = self.claims.tenants.iter().find(|tenant| tenant.canaries.contains(mark));
        Some(match owner {
            Some(tenant) => format!("it holds the canary of {}", tenant.name),
            None => "it holds an id of another tenant that was not sent".to_owned(),
        })
    }

    /// Ids of the principal's own tenant for each reference. Whoever has none sends the first tenant's.
    pub(super) fn own_values(&self, entry: &Entry, principal: &Principal) -> Result<Vec<Value>, String> {
        let first = self.claims.tenants.first().map_or("", |tenant| tenant.name.as_str());
        let tenant = principal.tenant.as_deref().unwrap_or(first);
        let takes = entry.consumes && entry.expected_of(principal).lets_in();
        let one = |reference: &Reference| {
            let fixture = self.claims.fixture(&reference.kind)?;
            let n = if takes { self.next(&reference.kind, tenant) } else { 0 };
            let id = fixture.id_of(tenant, n).or_else(|| {
                // what is refused may be of a tenant that owns nothing
                fixture.id_of(first, 0).filter(|_| principal.refused)
            });
            let further = if takes { "further " } else { "" };
            let id =
                id.cloned().ok_or_else(|| format!("{:?} has no {further}id of {tenant}", reference.kind))?;
            Ok(if entry.takes_many(&reference.place) { Value::Array(vec![id]) } else { id })
        };
        entry.references.iter().map(one).collect()
    }

    fn next(&self, kind: &str, tenant: &str) -> usize {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let count = used.entry((kind.to_owned(), tenant.to_owned())).or_default();
        *count += 1;
        *count
    }

    pub(super) fn saw_canary_of(&self, tenant: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned());
    }

    /// A case about an answer; `judge` says what is wrong with it.
    pub(super) fn case(
        &self,
        check: Check,
        name: String,
        began: Instant,
        asked: &Asked,
        judge: impl FnOnce(&Answer) -> Outcome,
    ) -> Case {
        let (outcome, got) = match &asked.answer {
            Err(error) => (Outcome::Unproven(error.clone()), String::new()),
            Ok(answer) => {
                let outcome = match answer.status.as_u16() {
                    429 => Outcome::Unproven("too many requests: raise the limits for the run".to_owned()),
                    _ => judge(answer),
                };
                let got = match &outcome {
                    Outcome::Passed => format!("{}, {} bytes", answer.status.as_u16(), answer.body.len()),
                    _ => format!("{} {}", answer.status.as_u16(), answer.text()),
                };
                (outcome, got)
            }
        };
        Case::new(check, name, outcome, self.mask.shown(&asked.sent), self.mask.shown(&got), began.elapsed())
    }
}

impl<'a, S, B> Run<'a, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync,
    B: Body<Data: Send, Error: Into<BoxError>> + Send,
{
    pub(super) async fn all(self) -> Report {
        let began = Instant::now();
        let mut cases = self.inventory();
        cases.extend(self.absent_tenant().await);
        cases.extend(self.canaries().await);
        let (roles, reached) = self.roles().await;
        cases.extend(self.existence(&reached));
        cases.extend(roles);
        cases.extend(self.controls().await);
        cases.extend(self.probes().await);
        Report::new(cases, began.elapsed())
    }

    /// Asks what an entry is about.
    pub(super) async fn ask(
        &self,
        entry: &Entry,
        principal: &Principal,
        values: Result<Vec<Value>, String>,
        header: Option<(&HeaderName, &str)>,
    ) -> Asked {
        let sending = values.and_then(|values| request(entry, principal, &values, header));
        match sending {
            Err(error) => {
                Asked { sent: format!("{} as {}", entry.name(), principal.name), answer: Err(error) }
            }
            Ok(Sending { request, shown }) => {
                let answer = ask(self.service.clone(), request, self.claims.deadline).await;
                Asked { sent: shown, answer }
            }
        }
    }

    /// Runs jobs, so many at once, and gives what they gave in their order.
    pub(super) async fn each<T: Send>(&self, jobs: Vec<BoxFuture<'_, T>>) -> Vec<T> {
        stream::iter(jobs).buffered(self.claims.concurrency).collect().await
    }

    /// Every route has an entry that says what there is to say.
    fn inventory(&self) -> Vec<Case> {
        let claims = self.claims;
        let faults = claims.faults().into_iter();
        let mut cases: Vec<_> =
            faults.map(|(name, fault)| Case::plain(Check::Setup, name, Outcome::Unproven(fault))).collect();
        let operations = claims.inventory.as_ref().map_or(&[][..], |inventory| inventory.operations());
        for operation in operations {
            let outcome = Outcome::of(operation.fault(&claims.entries));
            cases.push(Case::plain(Check::Inventory, operation.name(), outcome));
        }
        for entry in claims.entries.iter().filter(|entry| !Operation::is_in(entry, operations)) {
            let fault = "the inventory has no such route".to_owned();
            cases.push(Case::plain(Check::Inventory, entry.name(), Outcome::Failed(fault)));
        }
        cases
    }

    /// Each route × each principal, with ids of its own; and by route, whether anybody reached it.
    async fn roles(&self) -> (Vec<Case>, Vec<bool>) {
        let strangers = self.strangers().await;
        let mut jobs: Vec<BoxFuture<'_, Tried>> = Vec::new();
        let principals = &self.claims.principals;
        for entry in &self.claims.entries {
            for (principal, nothing) in principals.iter().zip(&strangers) {
                jobs.push(Box::pin(self.role(entry, principal, nothing.as_ref())));
            }
        }
        let mut tried = self.each(jobs).await.into_iter();
        let (mut cases, mut reached) = (Vec::new(), Vec::new());
        for _ in &self.claims.entries {
            let mut any = false;
            for (some, found) in tried.by_ref().take(principals.len()) {
                any |= found;
                cases.extend(some);
            }
            reached.push(any);
        }
        (cases, reached)
    }

    /// One route × one principal; `nothing` is what this principal gets for an address that is not there.
    async fn role(&self, entry: &Entry, principal: &Principal, nothing: Option<&Answer>) -> Tried {
        let began = Instant::now();
        let values = self.own_values(entry, principal);
        let sent: Vec<String> = values.iter().flatten().flat_map(ids_in).collect();
        let asked = self.ask(entry, principal, values, None).await;
        let expected = entry.expected_of(principal);
        let name = format!("{} as {}", entry.name(), principal.name);
        let mut cases = vec![self.case(Check::Roles, name.clone(), began, &asked, |answer| {
            Outcome::unless(expected.holds(answer.status), || {
                format!("expected {expected}, not {}", answer.status.as_u16())
            })
        })];
        let marks = self.foreign_marks(principal, &sent);
        if !principal.sees_all {
            let judge = |answer: &Answer| Outcome::of(self.leak(answer, &marks));
            cases.push(self.case(Check::Canary, format!("{name}: nothing of others"), began, &asked, judge));
        }
        let reached = asked.answer.as_ref().is_ok_and(|answer| {
            let differs = |nothing| self.claims.sameness.difference((answer, ""), (nothing, "")).is_some();
            !matches!(answer.status.as_u16(), 404 | 405) && nothing.is_none_or(differs)
        });
        (cases, reached)
    }

    /// What each principal gets for an address that is not there.
    async fn strangers(&self) -> Vec<Option<Answer>> {
        let nowhere = Entry::get(format!("/{}", uuid::Uuid::now_v7()));
        let mut answers = Vec::new();
        for principal in &self.claims.principals {
            answers.push(self.ask(&nowhere, principal, Ok(Vec::new()), None).await.answer.ok());
        }
        answers
    }

    /// Each entry's route is there.
    fn existence(&self, reached: &[bool]) -> Vec<Case> {
        let entries = self.claims.entries.iter().zip(reached);
        let case = |(entry, reached): (&Entry, &bool)| {
            let outcome = Outcome::unless(*reached, || {
                "nobody gets anything but what an address that is not there gives".to_owned()
            });
            Case::plain(Check::Inventory, format!("{} is there", entry.name()), outcome)
        };
        entries.map(case).collect()
    }

    /// What the service has written holds no canary of anybody's.
    async fn probes(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for probe in &self.claims.probes {
            let began = Instant::now();
            let end = tokio::time::timeout(self.claims.deadline, (probe.read)());
            let outcome = match end.await {
                Err(_) => Outcome::Unproven("it cannot be read in time".to_owned()),
                Ok(text) if text.trim().is_empty() => Outcome::Unproven("there is nothing in it".to_owned()),
                Ok(text) => {
                    let held = |tenant: &&Tenant| tenant.canaries.iter().any(|canary| text.contains(canary));
                    let tenant = self.claims.tenants.iter().find(held);
                    Outcome::of(tenant.map(|tenant| format!("it holds the canary of {}", tenant.name)))
                }
            };
            let case = Case::plain(Check::Probe, probe.name.clone(), outcome);
            cases.push(case.took(began.elapsed()));
        }
        // what was never seen where it belongs could not have been seen elsewhere
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for tenant in &self.claims.tenants {
            let live =
                |principal: &Principal| principal.tenant.as_ref() == Some(&tenant.name) && !principal.refused;
            if self.claims.principals.iter().any(live) {
                let outcome = match seen.contains(&tenant.name) {
                    true => Outcome::Passed,
                    false => Outcome::Unproven(
                        "no route showed it to its own tenant: nothing was proven".to_owned(),
                    ),
                };
                cases.push(Case::plain(
                    Check::Control,
                    format!("the canary of {} is seen", tenant.name),
                    outcome,
                ));
            }
        }
        cases
    }
}

/// The ids in a value that goes into a reference.
pub(super) fn ids_in(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        one => vec![text_of(one)],
    }
}

/// True when the tenant of a credential decides what the route gives.
pub(super) fn is_scoped(entry: &Entry) -> bool {
    entry.access == Some(Access::Scoped)
}
