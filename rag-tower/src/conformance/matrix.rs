//! The checks that compare: an absent tenant, a foreign id and an own one, against what an unknown id gives.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::Answer;
use super::entry::{Entry, Expect};
use super::fixture::{Tenant, text_of};
use super::principal::Principal;
use super::report::{Case, Check, Outcome};
use super::run::{Asked, Run, ids_in, is_scoped};
use crate::error::BoxError;

/// A foreign id in one reference of a route.
struct Attack<'a> {
    entry: &'a Entry,
    by: &'a Principal,
    on: &'a Tenant,
    /// Which of the entry's references.
    reference: usize,
    /// After an id of the caller's own, in an array.
    mixed: bool,
}

// === impl Run ===

impl<'a, S, B> Run<'a, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync,
    B: Body<Data: Send, Error: Into<BoxError>> + Send,
{
    /// Without a credential there is no tenant, whatever a header says; and no header gives another one.
    pub(super) async fn absent_tenant(&self) -> Vec<Case> {
        let nobody = Principal::anonymous();
        let mut jobs: Vec<BoxFuture<'_, Case>> = Vec::new();
        let headers = self.claims.tenant_header.is_some();
        for entry in self.claims.entries.iter().filter(|entry| is_scoped(entry)) {
            jobs.push(Box::pin(self.absent(entry, &nobody, None, entry.expected_of(&nobody))));
            for tenant in self.claims.tenants.iter().filter(|_| headers) {
                jobs.push(Box::pin(self.absent(entry, &nobody, Some(tenant), entry.expected_of(&nobody))));
                for by in self.callers(entry).filter(|by| by.tenant.as_ref() != Some(&tenant.name)) {
                    jobs.push(Box::pin(self.absent(entry, by, Some(tenant), Expect::from(403))));
                }
            }
        }
        self.each(jobs).await
    }

    async fn absent(&self, entry: &Entry, by: &Principal, says: Option<&Tenant>, expected: Expect) -> Case {
        let began = Instant::now();
        let header = self.claims.tenant_header.as_ref().zip(says.map(Tenant::asserted));
        // what a tenant sends; it is to be refused, so nothing is used up
        let values = self.own_values(entry, &by.clone().refused());
        let sent: Vec<String> = values.iter().flatten().flat_map(ids_in).collect();
        let asked = self.ask(entry, by, values, header).await;
        let name = match says {
            Some(tenant) => format!("{} as {} that says it is {}", entry.name(), by.name, tenant.name),
            None => format!("{} as {}", entry.name(), by.name),
        };
        let marks = self.foreign_marks(by, &sent);
        self.case(Check::AbsentTenant, name, began, &asked, |answer| {
            if let Some(leak) = self.leak(answer, &marks) {
                return Outcome::Failed(leak);
            }
            Outcome::unless(expected.holds(answer.status), || {
                format!("expected {expected}, not {}", answer.status.as_u16())
            })
        })
    }

    /// Each reference × a foreign id: the answer is the one to an unknown id.
    pub(super) async fn canaries(&self) -> Vec<Case> {
        let mut jobs: Vec<BoxFuture<'_, Case>> = Vec::new();
        for entry in &self.claims.entries {
            for (reference, place) in entry.references.iter().map(|reference| &reference.place).enumerate() {
                for by in self.callers(entry) {
                    for on in self.claims.tenants.iter().filter(|on| Some(&on.name) != by.tenant.as_ref()) {
                        let attack = Attack { entry, by, on, reference, mixed: false };
                        jobs.push(Box::pin(self.attack(attack)));
                        if entry.takes_many(place) {
                            jobs.push(Box::pin(self.attack(Attack {
                                entry,
                                by,
                                on,
                                reference,
                                mixed: true,
                            })));
                        }
                    }
                }
            }
        }
        self.each(jobs).await
    }

    async fn attack(&self, attack: Attack<'_>) -> Case {
        let Attack { entry, by, on, reference, mixed } = attack;
        let began = Instant::now();
        let target = &entry.references[reference];
        let fixture = self.claims.fixture(&target.kind);
        let foreign = fixture.clone().and_then(|fixture| {
            let id = fixture.id_of(&on.name, 0).cloned();
            id.ok_or_else(|| format!("the fixture {:?} has no id of {}", target.kind, on.name))
        });
        let unknown = fixture.and_then(|fixture| {
            fixture.unknown.clone().ok_or_else(|| format!("the fixture {:?} has no unknown id", target.kind))
        });
        let foreign = self.with(entry, by, reference, foreign, mixed).await;
        let unknown = self.with(entry, by, reference, unknown, mixed).await;
        let place =
            if mixed { format!("{}, after an own one", target.place) } else { target.place.to_string() };
        let name = format!("{} as {}: an id of {} in {place}", entry.name(), by.name, on.name);
        self.case(Check::Canary, name, began, &foreign.0, |answer| {
            if let Some(leak) = self.leak(answer, &self.foreign_marks(by, &foreign.1)) {
                return Outcome::Failed(leak);
            }
            match &unknown.0.answer {
                Err(error) => Outcome::Unproven(error.clone()),
                Ok(other) => self.same((answer, &foreign.2), (other, &unknown.2)),
            }
        })
    }

    /// That two answers do not tell one id from the other.
    fn same(&self, foreign: (&Answer, &str), unknown: (&Answer, &str)) -> Outcome {
        if !foreign.0.whole || !unknown.0.whole {
            return Outcome::Unproven("the body has no end, so it cannot be compared".to_owned());
        }
        if unknown.0.status.is_server_error() {
            return Outcome::Failed("an unknown id makes the service fail".to_owned());
        }
        let difference = self.claims.sameness.difference(foreign, unknown);
        Outcome::of(
            difference.map(|difference| format!("it is not the answer to an unknown id: {difference}")),
        )
    }

    /// Asks with this id in one reference and own ids in the others; gives what was sent and the id itself as well.
    async fn with(
        &self,
        entry: &Entry,
        by: &Principal,
        reference: usize,
        id: Result<Value, String>,
        mixed: bool,
    ) -> (Asked, Vec<String>, String) {
        let text = id.as_ref().map(text_of).unwrap_or_default();
        // an own id is used up only where it is sent
        let others = entry.references.len() > 1 || mixed;
        let own = if others { self.own_values(entry, by) } else { Ok(vec![Value::Null]) };
        let values = id.and_then(|id| {
            let mut values = own?;
            let many = entry.takes_many(&entry.references[reference].place);
            values[reference] = match (&mut values[reference], many) {
                (Value::Array(own), true) if mixed => {
                    own.push(id);
                    Value::Array(std::mem::take(own))
                }
                (_, true) => Value::Array(vec![id]),
                _ => id,
            };
            Ok(values)
        });
        let sent = values.iter().flatten().flat_map(ids_in).collect();
        (self.ask(entry, by, values, None).await, sent, text)
    }

    /// What makes the other checks worth something: own ids work, and canaries are where they belong.
    pub(super) async fn controls(&self) -> Vec<Case> {
        let mut jobs: Vec<BoxFuture<'_, Vec<Case>>> = Vec::new();
        for entry in &self.claims.entries {
            let compared = entry.references.iter().any(|reference| !reference.blind);
            if is_scoped(entry) && !entry.references.is_empty() && self.callers(entry).next().is_none() {
                let fault = "no principal of a tenant may call it: its references were not tried".to_owned();
                let case = Case::plain(Check::Control, entry.name(), Outcome::Unproven(fault));
                jobs.push(Box::pin(std::future::ready(vec![case])));
            }
            if !compared && !entry.shows_canary {
                continue;
            }
            for tenant in &self.claims.tenants {
                let of = |by: &&Principal| by.tenant.as_ref() == Some(&tenant.name);
                if let Some(by) = self.callers(entry).find(of) {
                    jobs.push(Box::pin(self.control(entry, by, tenant)));
                }
            }
        }
        self.each(jobs).await.into_iter().flatten().collect()
    }

    async fn control(&self, entry: &Entry, by: &Principal, tenant: &Tenant) -> Vec<Case> {
        let began = Instant::now();
        let values = self.own_values(entry, by);
        let ids: Vec<String> = values.iter().flatten().flat_map(ids_in).collect();
        let asked = self.ask(entry, by, values, None).await;
        let name = format!("{} as {}", entry.name(), by.name);
        let mut cases = Vec::new();
        if entry.shows_canary {
            let name = format!("{name}: its own canary");
            cases.push(self.case(Check::Control, name, began, &asked, |answer| {
                if answer.holds(&tenant.canaries).is_none() {
                    return Outcome::Unproven(format!("it does not hold the canary of {}", tenant.name));
                }
                self.saw_canary_of(&tenant.name);
                Outcome::Passed
            }));
        }
        for (n, reference) in entry.references.iter().enumerate().filter(|(_, reference)| !reference.blind) {
            let began = Instant::now();
            let unknown = self.claims.fixture(&reference.kind).and_then(|fixture| {
                fixture
                    .unknown
                    .clone()
                    .ok_or_else(|| format!("the fixture {:?} has no unknown id", reference.kind))
            });
            let (unknown, _, its) = self.with(entry, by, n, unknown, false).await;
            let name = format!("{name}: an own id in {} is no unknown one", reference.place);
            cases.push(self.case(Check::Control, name, began, &asked, |answer| match &unknown.answer {
                Err(error) => Outcome::Unproven(error.clone()),
                Ok(other) => {
                    let own = ids.get(n).map_or("", String::as_str);
                    match self.claims.sameness.difference((answer, own), (other, &its)) {
                        Some(_) => Outcome::Passed,
                        None => Outcome::Unproven(
                            "an own id gives what an unknown one gives: the fixture is wrong, or the reference is blind"
                                .to_owned(),
                        ),
                    }
                }
            }));
        }
        cases
    }

    /// Principals of a tenant that may call the route and must not see what is another's.
    fn callers<'e>(&'e self, entry: &'e Entry) -> impl Iterator<Item = &'e Principal> {
        self.claims.principals.iter().filter(move |by| {
            by.tenant.is_some() && !by.refused && !by.sees_all && entry.expected_of(by).lets_in()
        })
    }
}
