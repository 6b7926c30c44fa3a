//! Everything that a run needs: the service, its routes, who calls them, and what the tenants own.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderName, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::answer::Sameness;
use super::entry::Entry;
use super::fixture::{Fixture, Tenant};
use super::inventory::Inventory;
use super::principal::Principal;
use super::report::Report;
use super::run::Run;
use crate::error::BoxError;

/// A run against a service: gather what it needs, then [`run`](Self::run) it.
///
/// What it does, in order:
///
/// 1. **Inventory**: each route of the inventory has an entry, and each entry's route answers.
/// 2. **Absent tenant**: a scoped route gives a 401 without a credential, with the tenant header or not; a credential
///    with another tenant's name in that header gives a 403.
/// 3. **Canaries**: each reference × a foreign id. The answer is the one to an unknown id, byte for byte.
/// 4. **Roles**: each route × each principal, with ids of its own. After the attacks, so that a change that one of them
///    made shows too.
/// 5. **Controls**: an own id gives another answer than an unknown one, and canaries are seen where they belong. A check
///    that could not have failed makes the case [unproven](super::Outcome::Unproven), and the run fails.
/// 6. **Probes**: no canary in log lines, metrics or whatever else is handed over.
///
/// In each answer, whoever gets it, no other tenant's canary may be, nor any long id of another tenant that was not sent.
#[must_use = "nothing is checked until it is run"]
pub struct Conformance<S> {
    pub(super) service: S,
    pub(super) claims: Claims,
}

/// What is claimed, without the service.
pub(super) struct Claims {
    pub(super) inventory: Option<Inventory>,
    pub(super) entries: Vec<Entry>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) principals: Vec<Principal>,
    pub(super) fixtures: Vec<Fixture>,
    pub(super) probes: Vec<Probe>,
    pub(super) tenant_header: Option<HeaderName>,
    pub(super) sameness: Sameness,
    pub(super) deadline: Duration,
    pub(super) concurrency: usize,
}

/// Reads what the service has written somewhere.
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) read: Box<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
}

// === impl Conformance ===

impl<S> Conformance<S> {
    /// A run against a service: an axum `Router`, any other tower service, or a [`Remote`](super::Remote).
    pub fn new(service: S) -> Self {
        let claims = Claims {
            inventory: None,
            entries: Vec::new(),
            tenants: Vec::new(),
            principals: vec![Principal::anonymous()],
            fixtures: Vec::new(),
            probes: Vec::new(),
            tenant_header: None,
            sameness: Sameness::default(),
            deadline: Duration::from_secs(10),
            concurrency: 4,
        };
        Self { service, claims }
    }

    /// The same run against another service, such as the same program at an address.
    pub fn against<T>(self, service: T) -> Conformance<T> {
        Conformance { service, claims: self.claims }
    }

    /// The routes that the service has. Required.
    pub fn inventory(mut self, inventory: Inventory) -> Self {
        self.claims.inventory = Some(inventory);
        self
    }

    /// What is claimed of one route.
    pub fn entry(mut self, entry: Entry) -> Self {
        self.claims.entries.push(entry);
        self
    }

    /// What is claimed of several routes.
    pub fn entries(mut self, entries: impl IntoIterator<Item = Entry>) -> Self {
        self.claims.entries.extend(entries);
        self
    }

    /// A tenant. At least two are required.
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.claims.tenants.push(tenant);
        self
    }

    /// Somebody who calls routes. Whoever shows no credential is there already, with the role `anonymous`.
    pub fn principal(mut self, principal: Principal) -> Self {
        self.claims.principals.push(principal);
        self
    }

    /// Ids of one kind.
    pub fn fixture(mut self, fixture: Fixture) -> Self {
        self.claims.fixtures.push(fixture);
        self
    }

    /// Something that the service writes and that must hold no canary: log lines, metrics, the errors in its tables. It
    /// is read once, at the end, and must not be empty.
    pub fn probe<F, Fut>(mut self, name: impl Into<String>, read: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = String> + Send + 'static,
    {
        self.claims.probes.push(Probe { name: name.into(), read: Box::new(move || read().boxed()) });
        self
    }

    /// The header in which a caller may assert its tenant. Default: there is none.
    pub fn tenant_header(mut self, name: HeaderName) -> Self {
        self.claims.tenant_header = Some(name);
        self
    }

    /// Two answers may differ in this header. Default: `date`, `x-request-id`, and `content-length`, since the bodies
    /// are compared themselves.
    ///
    /// # Warning
    /// Whatever an answer tells in it is not looked at, other than for canaries.
    pub fn ignore_header(mut self, name: HeaderName) -> Self {
        self.claims.sameness.headers.push(name);
        self
    }

    /// Two answers may differ in the JSON field of this name, at any depth, such as an id of the request or a duration.
    /// Default: in none.
    ///
    /// # Warning
    /// Whatever an answer tells in it is not looked at, other than for canaries.
    pub fn ignore_field(mut self, name: impl Into<String>) -> Self {
        self.claims.sameness.fields.push(name.into());
        self
    }

    /// Changes a body before it is compared, for what differs each time in another form than a JSON field. It runs
    /// last, on text alone. Default: nothing is changed.
    pub fn normalize(mut self, normalize: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        self.claims.sameness.normalize = Some(Box::new(normalize));
        self
    }

    /// How long one answer may take, its body included. A body that has not ended by then is looked at as far as it
    /// came, and is not compared. Default: 10 seconds.
    pub fn deadline(mut self, each: Duration) -> Self {
        self.claims.deadline = each;
        self
    }

    /// How many requests are under way at once; at least 1. Default: 4.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.claims.concurrency = requests.max(1);
        self
    }
}

impl<S, B> Conformance<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync,
    B: Body<Data: Send, Error: Into<BoxError>> + Send,
{
    /// Runs every check, one request at a time. What fails is in the report: a run itself never does. Each request waits for the
    /// service to be ready; there is no deadline of its own. Dropping the future stops after the request that is under way, and
    /// what it has made in the service stays.
    pub async fn run(self) -> Report {
        Run::new(self.service, &self.claims).all().await
    }
}

impl<S> fmt::Debug for Conformance<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("entries", &self.claims.entries)
            .field("principals", &self.claims.principals)
            .finish_non_exhaustive()
    }
}

// === impl Claims ===

impl Claims {
    pub(super) fn fixture(&self, kind: &str) -> Result<&Fixture, String> {
        self.fixtures
            .iter()
            .find(|fixture| fixture.kind == kind)
            .ok_or_else(|| format!("there is no fixture {kind:?}"))
    }

    /// What would make the whole run prove nothing.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut say = |what: String, fault: String| faults.push((what, fault));
        if self.inventory.as_ref().is_none_or(|inventory| inventory.operations().is_empty()) {
            say("the inventory".to_owned(), "it has no route".to_owned());
        }
        if self.tenants.len() < 2 {
            say("the tenants".to_owned(), "there are fewer than two".to_owned());
        }
        for tenant in &self.tenants {
            let name = format!("the tenant {}", tenant.name);
            if let Some(fault) = tenant.fault() {
                say(name.clone(), fault);
            }
            let own = |principal: &&Principal| {
                principal.tenant.as_ref() == Some(&tenant.name) && !principal.refused
            };
            let mut own = self.principals.iter().filter(own);
            if own.next().is_none() && !self.only_refused(tenant) {
                say(name, "nobody is a principal of it".to_owned());
            }
        }
        faults
    }

    /// True for a tenant that is there to be refused, such as a suspended one.
    fn only_refused(&self, tenant: &Tenant) -> bool {
        let mut of =
            self.principals.iter().filter(|one| one.tenant.as_ref() == Some(&tenant.name)).peekable();
        of.peek().is_some() && of.all(|principal| principal.refused)
    }
}
