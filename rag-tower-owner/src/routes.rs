//! The one route table. The router is built from it, and so are the tests: a route that is not here does not exist.

use rag_tower::ingest::MAX_FILE_BYTES;

/// One route.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for a parameter.
    pub path: &'static str,
    /// Who may call it.
    pub auth: Auth,
    /// What keeps tenants apart behind it.
    pub isolation: Isolation,
    pub(crate) endpoint: Endpoint,
}

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, changes or asks something.
    Post,
    /// Replaces.
    Put,
    /// Takes away.
    Delete,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Anybody: there is nothing of a tenant behind it.
    Public,
    /// Anybody on this machine, in demo mode only; otherwise it is not there.
    Demo,
    /// A tenant's credential.
    Tenant,
    /// A tenant's credential or a ticket, both checked at the upgrade.
    Upgrade,
    /// The owner.
    Owner,
    /// The operator: who can read the data directory of the running server.
    Operator,
}

/// What keeps tenants apart behind a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Nothing of a tenant is read or written.
    NoTenantData,
    /// Everything goes through the scope of the credential.
    Scope,
    /// The demo tenants' names, which are public, and tokens for them.
    DemoTenants,
    /// The owner sees every tenant.
    Owner,
    /// The operator names one tenant in each request, and a scope of that tenant alone is made for it.
    OneTenant,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    ChatPage,
    OwnerPage,
    ReferencePage,
    Static,
    Health,
    Demo,
    DemoToken,
    Query,
    WebSocket,
    WebSocketTicket,
    Feedback,
    Login,
    Logout,
    Owner(OwnerEndpoint),
    OperatorToken,
    OperatorDocuments,
}

/// What runs below `/owner/api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerEndpoint {
    Metrics,
    Timeseries,
    Heatmap,
    Breakdown,
    Usage,
    UsageExport,
    Prices,
    NewPrice,
    DeletePrice,
    Logs,
    LogFacets,
    LogExport,
    LogTail,
    Log,
    LogSpans,
    Replay,
    Handoffs,
    Handoff,
    HandoffTransition,
    HandoffNote,
    HandoffReveal,
    Feedback,
    FeedbackReview,
    Gaps,
    GapExport,
    ResolveGap,
    ReopenGap,
    Views,
    NewView,
    DeleteView,
    Alerts,
    NewAlert,
    ReplaceAlert,
    DeleteAlert,
    TestAlert,
    AlertEvents,
    Audit,
    Tenants,
    DemoData,
    FillDemoData,
    RemoveDemoData,
    Tenant,
    SuspendTenant,
    ResumeTenant,
    System,
    Isolation,
    IsolationCheck,
    OpenApi,
}

use Auth::{Demo, Operator, Public, Tenant, Upgrade};
use Isolation::{DemoTenants, NoTenantData, OneTenant, Scope};
use Method::{Delete, Get, Post, Put};

/// Every route of the server.
pub const ROUTES: &[Route] = &[
    route(Get, "/", Public, NoTenantData, Endpoint::ChatPage),
    route(Get, "/owner", Public, NoTenantData, Endpoint::OwnerPage),
    route(Get, "/owner/reference", Public, NoTenantData, Endpoint::ReferencePage),
    route(Get, "/static/{*file}", Public, NoTenantData, Endpoint::Static),
    route(Get, "/healthz", Public, NoTenantData, Endpoint::Health),
    route(Get, "/demo", Demo, DemoTenants, Endpoint::Demo),
    route(Post, "/demo/token", Demo, DemoTenants, Endpoint::DemoToken),
    route(Post, "/query", Tenant, Scope, Endpoint::Query),
    route(Get, "/ws/query", Upgrade, Scope, Endpoint::WebSocket),
    route(Post, "/ws/ticket", Tenant, Scope, Endpoint::WebSocketTicket),
    route(Post, "/feedback", Tenant, Scope, Endpoint::Feedback),
    route(Post, "/owner/auth/login", Public, NoTenantData, Endpoint::Login),
    route(Post, "/owner/auth/logout", Public, NoTenantData, Endpoint::Logout),
    owner(Get, "/owner/api/metrics", OwnerEndpoint::Metrics),
    owner(Get, "/owner/api/metrics/timeseries", OwnerEndpoint::Timeseries),
    owner(Get, "/owner/api/metrics/heatmap", OwnerEndpoint::Heatmap),
    owner(Get, "/owner/api/metrics/breakdown", OwnerEndpoint::Breakdown),
    owner(Get, "/owner/api/usage", OwnerEndpoint::Usage),
    owner(Get, "/owner/api/usage/export", OwnerEndpoint::UsageExport),
    owner(Get, "/owner/api/prices", OwnerEndpoint::Prices),
    owner(Post, "/owner/api/prices", OwnerEndpoint::NewPrice),
    owner(Delete, "/owner/api/prices/{id}", OwnerEndpoint::DeletePrice),
    owner(Get, "/owner/api/logs", OwnerEndpoint::Logs),
    owner(Get, "/owner/api/logs/facets", OwnerEndpoint::LogFacets),
    owner(Get, "/owner/api/logs/export", OwnerEndpoint::LogExport),
    owner(Get, "/owner/api/logs/tail", OwnerEndpoint::LogTail),
    owner(Get, "/owner/api/logs/{trace_id}", OwnerEndpoint::Log),
    owner(Get, "/owner/api/logs/{trace_id}/spans", OwnerEndpoint::LogSpans),
    owner(Post, "/owner/api/logs/{trace_id}/replay", OwnerEndpoint::Replay),
    owner(Get, "/owner/api/handoffs", OwnerEndpoint::Handoffs),
    owner(Get, "/owner/api/handoffs/{id}", OwnerEndpoint::Handoff),
    owner(Post, "/owner/api/handoffs/{id}/transition", OwnerEndpoint::HandoffTransition),
    owner(Post, "/owner/api/handoffs/{id}/notes", OwnerEndpoint::HandoffNote),
    owner(Post, "/owner/api/handoffs/{id}/reveal", OwnerEndpoint::HandoffReveal),
    owner(Get, "/owner/api/feedback", OwnerEndpoint::Feedback),
    owner(Post, "/owner/api/feedback/{id}/review", OwnerEndpoint::FeedbackReview),
    owner(Get, "/owner/api/gaps", OwnerEndpoint::Gaps),
    owner(Get, "/owner/api/gaps/export", OwnerEndpoint::GapExport),
    owner(Post, "/owner/api/gaps/resolve", OwnerEndpoint::ResolveGap),
    owner(Post, "/owner/api/gaps/reopen", OwnerEndpoint::ReopenGap),
    owner(Get, "/owner/api/views", OwnerEndpoint::Views),
    owner(Post, "/owner/api/views", OwnerEndpoint::NewView),
    owner(Delete, "/owner/api/views/{id}", OwnerEndpoint::DeleteView),
    owner(Get, "/owner/api/alerts", OwnerEndpoint::Alerts),
    owner(Post, "/owner/api/alerts", OwnerEndpoint::NewAlert),
    owner(Put, "/owner/api/alerts/{id}", OwnerEndpoint::ReplaceAlert),
    owner(Delete, "/owner/api/alerts/{id}", OwnerEndpoint::DeleteAlert),
    owner(Post, "/owner/api/alerts/{id}/test", OwnerEndpoint::TestAlert),
    owner(Get, "/owner/api/alerts/{id}/events", OwnerEndpoint::AlertEvents),
    owner(Get, "/owner/api/audit", OwnerEndpoint::Audit),
    owner(Get, "/owner/api/tenants", OwnerEndpoint::Tenants),
    owner(Get, "/owner/api/demo-data", OwnerEndpoint::DemoData),
    owner(Post, "/owner/api/demo-data", OwnerEndpoint::FillDemoData),
    owner(Delete, "/owner/api/demo-data", OwnerEndpoint::RemoveDemoData),
    owner(Get, "/owner/api/tenants/{id}", OwnerEndpoint::Tenant),
    owner(Post, "/owner/api/tenants/{id}/suspend", OwnerEndpoint::SuspendTenant),
    owner(Post, "/owner/api/tenants/{id}/resume", OwnerEndpoint::ResumeTenant),
    owner(Get, "/owner/api/system", OwnerEndpoint::System),
    owner(Get, "/owner/api/isolation", OwnerEndpoint::Isolation),
    owner(Post, "/owner/api/isolation/check", OwnerEndpoint::IsolationCheck),
    owner(Get, "/owner/api/openapi.json", OwnerEndpoint::OpenApi),
    route(Post, "/operator/token", Operator, OneTenant, Endpoint::OperatorToken),
    route(Post, "/operator/documents", Operator, OneTenant, Endpoint::OperatorDocuments),
];

/// The most bytes of a request's body, unless the route takes documents. The longest question that is accepted takes
/// 32 KB; the rest is room for JSON.
pub(crate) const MAX_BODY: usize = 256 * 1024;

/// The most bytes of the body of a request to the route with this path.
pub(crate) fn max_body(path: &str) -> usize {
    match ROUTES.iter().find(|route| route.path == path).map(|route| route.endpoint) {
        Some(Endpoint::OperatorDocuments) => MAX_FILE_BYTES,
        _ => MAX_BODY,
    }
}

const fn route(
    method: Method,
    path: &'static str,
    auth: Auth,
    isolation: Isolation,
    endpoint: Endpoint,
) -> Route {
    Route { method, path, auth, isolation, endpoint }
}

/// A route below `/owner/api`.
const fn owner(method: Method, path: &'static str, endpoint: OwnerEndpoint) -> Route {
    route(method, path, Auth::Owner, Isolation::Owner, Endpoint::Owner(endpoint))
}

// === impl Method ===

impl Method {
    /// The method's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_tenants_asks_for_a_credential() {
        for route in ROUTES {
            let fits = match route.isolation {
                NoTenantData => route.auth == Public,
                DemoTenants => route.auth == Demo,
                Scope => matches!(route.auth, Tenant | Upgrade),
                Isolation::Owner => route.auth == Auth::Owner,
                OneTenant => route.auth == Operator,
            };
            assert!(fits, "{} {}", route.method.as_str(), route.path);
        }
    }

    #[test]
    fn no_route_is_there_twice() {
        for (n, route) in ROUTES.iter().enumerate() {
            let twice =
                ROUTES[..n].iter().any(|other| (other.method, other.path) == (route.method, route.path));
            assert!(!twice, "{}", route.path);
        }
    }
}
