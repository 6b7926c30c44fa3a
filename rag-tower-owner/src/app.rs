//! The HTTP application: what it needs in, one router out, built from the route table.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on, on_service};
use http::{HeaderMap, StatusCode};
use rag_tower::http::{AskService, Origins, Problem, TicketService, WsAsks};
use rag_tower::postgres::{Database, PgFeedback};
use rag_tower::tenant::ResolveTenantLayer;
use rag_tower::{BoxAskService, TenantAuthority};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::alerts::Webhooks;
use crate::api;
use crate::auth::{LoginService, LogoutService, OwnerAuth, OwnerAuthConfig, OwnerAuthLayer, OwnerPassword};
use crate::branches::KnownBranches;
use crate::canary::Canary;
use crate::config::Config;
use crate::demo::Demo;
use crate::demo_data::Desk;
use crate::failure::Failure;
use crate::http::{Page, edge, page, panicked, static_file};
use crate::identity::{Resolver, TenantTokens, identity};
use crate::intake::Intake;
use crate::isolation::Isolation;
use crate::operator::{self, OperatorKey};
use crate::owner_store::{OwnerStore, PgOwnerSessions};
use crate::platform::{Platform, failed};
use crate::replay::Replay;
use crate::routes::{Auth, Endpoint, Method, ROUTES, Route};
use crate::secrets::{OwnerSecret, Secrets};
use crate::shared::Waiting;
use crate::system::System;
use crate::zone::Zone;

/// What handlers need.
pub(crate) struct App {
    pub(crate) asks: BoxAskService,
    pub(crate) database: Database,
    pub(crate) feedback: PgFeedback,
    pub(crate) owner: OwnerStore,
    pub(crate) zone: Zone,
    pub(crate) sessions: PgOwnerSessions,
    /// Live views of asks that may still begin.
    pub(crate) tails: Arc<Semaphore>,
    /// Ends what would go on for ever.
    pub(crate) closing: CancellationToken,
    pub(crate) system: System,
    pub(crate) isolation: Arc<Isolation>,
    pub(crate) webhooks: Webhooks,
    owner_auth: OwnerAuth<PgOwnerSessions>,
    pub(crate) demo: Option<Demo>,
    pub(crate) replay: Replay,
    /// Where work on the demo data is left.
    pub(crate) demo_desk: Desk,
    pub(crate) tokens: TenantTokens,
    pub(crate) intake: Intake,
    pub(crate) operator: OperatorKey,
    tenant: ResolveTenantLayer<Resolver>,
    pub(crate) sockets: WsAsks<BoxAskService, Resolver, Waiting>,
    tickets: TicketService<Waiting>,
}

/// The router: every route of the table, and nothing else.
pub(crate) fn build(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for &route in ROUTES {
        // outside demo mode its routes are not there at all
        if route.auth != Auth::Demo || app.demo.is_some() {
            router = router.route(route.path, guarded(&app, route));
        }
    }
    router
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_input", "this address takes another method")
        })
        // a panic becomes a problem, and is measured like any other answer
        .layer(CatchPanicLayer::custom(panicked))
        // id, bounded body, measurement, headers
        .layer(from_fn(edge))
        .with_state(app)
}

/// The route behind what its auth class asks for.
fn guarded(app: &Arc<App>, route: Route) -> MethodRouter<Arc<App>> {
    let endpoint = endpoint(app, route);
    match route.auth {
        // an upgrade resolves its credential by itself, at the upgrade and again for each ask
        Auth::Public | Auth::Demo | Auth::Upgrade => endpoint,
        Auth::Tenant => endpoint.layer(app.tenant.clone()),
        Auth::Owner => endpoint.layer(OwnerAuthLayer::new(app.owner_auth.clone())),
        Auth::Operator => endpoint.layer(from_fn_with_state(app.operator.clone(), operator::guard)),
    }
}

fn endpoint(app: &Arc<App>, route: Route) -> MethodRouter<Arc<App>> {
    let method = match route.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    match route.endpoint {
        Endpoint::ChatPage => on(method, |headers: HeaderMap| async move { page(Page::Chat, &headers) }),
        Endpoint::OwnerPage => on(method, |headers: HeaderMap| async move { page(Page::Owner, &headers) }),
        Endpoint::ReferencePage => {
            on(method, |headers: HeaderMap| async move { page(Page::Reference, &headers) })
        }
        Endpoint::Static => {
            let file =
                |Path(file): Path<String>, headers: HeaderMap| async move { static_file(&file, &headers) };
            // these alone are compressed: nothing secret is in them
            on(method, file).layer(CompressionLayer::new())
        }
        Endpoint::Health => on(method, api::health::health),
        Endpoint::Demo => on(method, api::demo::demo),
        Endpoint::DemoToken => on(method, api::demo::token),
        Endpoint::Query => {
            on_service(method, AskService::new(KnownBranches::new(app.asks.clone(), &app.database)))
        }
        Endpoint::WebSocket => {
            let asks = app.sockets.clone();
            on(method, move |request: Request| async move { asks.upgrade(request).await })
        }
        Endpoint::WebSocketTicket => on_service(method, app.tickets.clone()),
        Endpoint::Feedback => on(method, api::feedback::feedback),
        Endpoint::Login => on_service(method, LoginService::new(app.owner_auth.clone())),
        Endpoint::Logout => on_service(method, LogoutService::new(app.owner_auth.clone())),
        Endpoint::Owner(endpoint) => api::owner::endpoint(method, endpoint),
        Endpoint::OperatorToken => on(method, api::operator::token),
        Endpoint::OperatorDocuments => on(method, api::operator::documents),
    }
}

// === impl App ===

impl App {
    /// Everything over what is up.
    pub(crate) fn new(
        config: &Config,
        (secrets, owner): (&Secrets, &OwnerSecret),
        platform: &Platform,
        (demo, demo_desk): (Option<Demo>, Desk),
    ) -> Result<Self, Failure> {
        let (resolver, tokens) =
            identity(config, &platform.database, &secrets.jwt).map_err(failed("JWT_SECRET"))?;
        let origins = Origins::parse(&config.frontend_origin).map_err(failed("FRONTEND_ORIGIN"))?;
        let tickets = platform.shared.tickets();
        let authority = TenantAuthority::new();
        let settings = OwnerAuthConfig::new(
            config.owner_username.clone(),
            OwnerPassword::Hash(owner.hash.clone()),
            secrets.jwt.clone(),
        )
        .with_lifetime(config.jwt_expire)
        .with_origins(config.frontend_origin.iter().cloned());
        let sessions = PgOwnerSessions::new(&platform.database);
        let owner_auth = OwnerAuth::with_sessions(settings, sessions).map_err(failed("the owner's login"))?;
        Ok(Self {
            owner: OwnerStore::new(&platform.owners),
            zone: config.zone.clone(),
            sessions: PgOwnerSessions::new(&platform.database),
            tails: Arc::new(Semaphore::new(api::owner::tail::TAILS)),
            closing: CancellationToken::new(),
            system: System::new(
                config,
                &platform.database,
                platform.traces.clone(),
                (platform.rollups.clone(), platform.partitions.clone()),
                Arc::clone(&platform.index),
                platform.shared.redis().cloned(),
            ),
            isolation: Arc::new(Isolation::proven(
                &platform.database,
                Canary::new(config.canary_interval.map(|every| (platform.canary.clone(), every))),
            )),
            webhooks: Webhooks::new()?,
            owner_auth,
            asks: platform.asks.clone(),
            database: platform.database.clone(),
            feedback: PgFeedback::new(&platform.database),
            demo,
            replay: platform.replay.clone(),
            demo_desk,
            tokens,
            intake: platform.intake.clone(),
            operator: OperatorKey::generate()?,
            sockets: WsAsks::new(
                platform.asks.clone(),
                authority.clone(),
                resolver.clone(),
                tickets.clone(),
                origins,
            ),
            tickets: TicketService::new(tickets).with_tenant_header(config.tenant_header.clone()),
            tenant: ResolveTenantLayer::asserted(authority, resolver),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use axum::body::Body;
    use http::Request;
    use tempfile::TempDir;
    use tower::ServiceExt;

    use super::*;
    use crate::data_dir::DataDir;

    /// The owner's password in tests.
    pub(crate) const PASSWORD: &str = "test-owner-password-0123456789";

    /// The whole application on a database of its own, without listeners.
    pub(crate) struct Running {
        pub(crate) router: Router,
        pub(crate) platform: Platform,
        pub(crate) secrets: Secrets,
        _folder: TempDir,
    }

    impl Running {
        pub(crate) async fn start() -> Self {
            // the program's own, which does not run here
            let _ = rustls::crypto::ring::default_provider().install_default();
            let open = std::fs::Permissions::from_mode(0o711);
            let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
            let data = DataDir::open(folder.path()).unwrap();
            let environment = [
                ("RAG_TOWER_DATA".to_owned(), folder.path().display().to_string()),
                ("OWNER_PASSWORD".to_owned(), PASSWORD.to_owned()),
            ];
            let config = Config::read(None, environment).unwrap();
            let secrets = Secrets::load(&config, &data).unwrap();
            let owner = OwnerSecret::load(&config, &data).unwrap();
            let platform = Platform::start(&config, &data).await.unwrap();
            let demo = platform.fill(&config, &secrets).await.unwrap();
            let app = App::new(&config, (&secrets, &owner), &platform, (demo, Desk::new().0)).unwrap();
            Self { router: build(Arc::new(app)), platform, secrets, _folder: folder }
        }

        pub(crate) async fn stop(self) {
            drop(self.router);
            self.platform.stop(Duration::from_secs(5)).await;
        }
    }

    /// Every route of the table is in the router, and lets nobody in whom the table does not.
    #[tokio::test]
    async fn every_route_asks_for_what_the_table_says() {
        let running = Running::start().await;
        let (router, secrets) = (&running.router, &running.secrets);

        let send = async |method: &str, path: &str, key: Option<&str>| {
            let path = path.replace("{*file}", "chat.js").replace(['{', '}'], "");
            let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
            if let Some(key) = key {
                request = request.header("authorization", format!("Bearer {key}"));
            }
            router.clone().oneshot(request.body(Body::from("{")).unwrap()).await.unwrap().status()
        };
        for &Route { method, path, auth, .. } in ROUTES {
            let status = send(method.as_str(), path, None).await;
            let place = format!("{} {path}: {status}", method.as_str());
            assert_ne!(status, StatusCode::NOT_FOUND, "{place}");
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{place}");
            if !matches!(auth, Auth::Public | Auth::Demo) {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{place}");
            }
            // a tenant's key is no owner's and no operator's
            if matches!(auth, Auth::Owner | Auth::Operator) {
                let status = send(method.as_str(), path, Some(secrets.demo_key.expose())).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", method.as_str());
            }
        }
        assert_eq!(send("GET", "/nothing", None).await, StatusCode::NOT_FOUND);
        assert_eq!(send("DELETE", "/query", None).await, StatusCode::METHOD_NOT_ALLOWED);
        running.stop().await;
    }
}
