//! The whole of it, as plain Tower services.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rag_tower::tenant::{
    ApiKeyResolver, CredentialResolver, JwtResolver, MemoryApiKeys, ResolveTenant, TokenMinter,
};
use rag_tower::{ErrorKind, Grant, TenantId};
use serde_json::{Map, Value, json};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::secret::Secret;

const PASSWORD: &str = "nine-lives-of-a-lucky-cat";
const SECRET: &str = "k7Pq2mXv9RtY4wZb6NcJ8sLd3FhG5aQe";
const HERE: &str = "http://127.0.0.1:8080";

fn config() -> OwnerAuthConfig {
    OwnerAuthConfig::new("owner", OwnerPassword::Plain(Secret::new(PASSWORD)), Secret::new(SECRET))
}

fn auth() -> OwnerAuth {
    OwnerAuth::new(config()).unwrap()
}

fn login_request(username: &str, password: &str) -> Request<Full<Bytes>> {
    let body = format!("{{\"username\": \"{username}\", \"password\": \"{password}\"}}");
    let request = Request::post("/owner/auth/login").header(HOST, "127.0.0.1:8080");
    request.header(CONTENT_TYPE, "application/json").body(Full::new(body.into())).unwrap()
}

async fn log_in(auth: &OwnerAuth, request: Request<Full<Bytes>>) -> Response<Bytes> {
    whole(LoginService::new(auth.clone()).oneshot(request).await.unwrap()).await
}

async fn whole(response: Response<Full<Bytes>>) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// The `name=value` of a fresh session's cookie.
async fn session(auth: &OwnerAuth) -> String {
    let response = log_in(auth, login_request("owner", PASSWORD)).await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (200, &b"{\"ok\":true}"[..]));
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn request(method: Method, headers: &[(http::HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    request.headers_mut().insert(HOST, "127.0.0.1:8080".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// What the layer lets through, as a status.
async fn status(auth: &OwnerAuth, request: Request<()>) -> u16 {
    let inner = service_fn(|request: Request<()>| async move {
        let scope = request.extensions().get::<OwnerScope>().expect("a scope");
        assert_eq!(scope.username(), "owner");
        Ok::<_, Infallible>(Response::new(Bytes::new()))
    });
    OwnerAuthLayer::new(auth.clone()).layer(inner).oneshot(request).await.unwrap().status().as_u16()
}

async fn get(auth: &OwnerAuth, cookie: &str) -> u16 {
    status(auth, request(Method::GET, &[(COOKIE, cookie)])).await
}

#[tokio::test]
async fn only_a_live_session_gets_past() {
    let auth = auth();
    let cookie = session(&auth).await;
    let token = cookie.split_once('=').unwrap().1;
    assert_eq!(get(&auth, &cookie).await, 200);
    assert_eq!(
        status(&auth, request(Method::GET, &[(AUTHORIZATION, &format!("Bearer {token}"))])).await,
        200
    );

    assert_eq!(status(&auth, request(Method::GET, &[])).await, 401);
    assert_eq!(get(&auth, "owner_token=nonsense").await, 401);
    assert_eq!(get(&auth, &cookie[..cookie.len() - 2]).await, 401);
    let restarted = self::auth();
    assert_eq!(
        get(&restarted, &cookie).await,
        401,
        "signed with the same secret, but no session of this one"
    );
}

/// The claims of a session that is live: nothing but the token can be why it is refused.
async fn claims(auth: &OwnerAuth) -> Map<String, Value> {
    let now = get_current_timestamp();
    auth.0.sessions.start("live", Duration::from_mins(15)).await.unwrap();
    let claims = json!({
        "iss": "rag-tower", "aud": OWNER_AUDIENCE, "sub": "owner", "exp": now + 900, "iat": now, "jti": "live",
    });
    claims.as_object().unwrap().clone()
}

fn signed(header: &Header, claims: &Map<String, Value>, secret: &[u8]) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// What a token opens, as a cookie and as a bearer.
async fn opens(auth: &OwnerAuth, token: &str) -> [u16; 2] {
    let bearer = format!("Bearer {token}");
    [
        get(auth, &format!("owner_token={token}")).await,
        status(auth, request(Method::GET, &[(AUTHORIZATION, &bearer)])).await,
    ]
}

#[tokio::test]
async fn t40_a_token_is_what_this_server_signs_or_nothing() {
    let auth = auth();
    let claims = claims(&auth).await;
    let hs256 = Header::new(Algorithm::HS256);
    let good = signed(&hs256, &claims, SECRET.as_bytes());
    assert_eq!(opens(&auth, &good).await, [200, 200], "the others differ from it in one thing each");

    let (message, signature) = good.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    // {"alg":"none","typ":"JWT"} and {"alg":"RS256","typ":"JWT"}
    let (none, rs256) = ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9");
    let typed = |typ: Option<&str>| Header { typ: typ.map(Into::into), ..hs256.clone() };
    let kid = Header { kid: Some("unknown".into()), ..hs256.clone() };
    let critical = Header { crit: Some(vec!["b64".into()]), ..hs256.clone() };
    for token in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{rs256}.{payload}.{signature}"),
        format!("{message}."),
        message.to_owned(),
        good[..good.len() - 2].to_owned(),
        format!("{good}.{signature}"),
        signed(&Header::new(Algorithm::HS384), &claims, SECRET.as_bytes()),
        signed(&hs256, &claims, b"another-secret-of-thirty-two-bytes"),
        signed(&hs256, &claims, b""),
        signed(&kid, &claims, SECRET.as_bytes()),
        signed(&typed(None), &claims, SECRET.as_bytes()),
        signed(&typed(Some("at+jwt")), &claims, SECRET.as_bytes()),
        signed(&critical, &claims, SECRET.as_bytes()),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "x".repeat(64 * 1024),
    ] {
        assert_eq!(opens(&auth, &token).await, [401, 401], "{token}");
    }
}

#[tokio::test]
async fn t41_every_claim_is_required_and_times_are_whole_seconds_around_now() {
    let auth = auth();
    let claims = claims(&auth).await;
    let hs256 = Header::new(Algorithm::HS256);
    let with = |name: &str, value: Option<Value>| {
        let mut claims = claims.clone();
        claims.remove(name);
        claims.extend(value.map(|value| (name.to_owned(), value)));
        signed(&hs256, &claims, SECRET.as_bytes())
    };
    for name in ["iss", "aud", "sub", "exp", "iat", "jti"] {
        assert_eq!(opens(&auth, &with(name, None)).await, [401, 401], "no {name}");
        assert_eq!(opens(&auth, &with(name, Some(json!({ "a": 1 })))).await, [401, 401], "{name}");
        assert_eq!(opens(&auth, &with(name, Some(Value::Null))).await, [401, 401], "{name}");
    }
    let now = get_current_timestamp();
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!((now + 2).to_string()),
            json!(now as f64 + 2.5),
            json!(now as f64),
            json!(-1),
            json!(u64::MAX),
            json!(1e300),
            json!(now * 1_000),
            json!(true),
        ] {
            let token = with(name, Some(value.clone()));
            assert_eq!(opens(&auth, &token).await, [401, 401], "{name} {value}");
        }
    }
    for (name, value) in [
        ("exp", json!(now - 1)),
        ("iat", json!(now + 120)),
        ("nbf", json!(now + 120)),
        ("iss", json!("https://other.example")),
        ("aud", json!("rag-tower/tenant")),
        ("aud", json!([OWNER_AUDIENCE, "rag-tower/tenant"])),
        ("sub", json!("somebody-else")),
        ("jti", json!("another-session")),
        ("role", json!("owner")),
    ] {
        let token = with(name, Some(value.clone()));
        assert_eq!(opens(&auth, &token).await, [401, 401], "{name} {value}");
    }
}

#[tokio::test]
async fn t44_logout_ends_the_session_at_once() {
    let auth = auth();
    let (cookie, other) = (session(&auth).await, session(&auth).await);
    let logout = |headers: &[(http::HeaderName, &str)]| {
        LogoutService::new(auth.clone()).oneshot(request(Method::POST, headers))
    };
    let response = logout(&[(COOKIE, &cookie), (ORIGIN, "https://evil.example")]).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(get(&auth, &cookie).await, 200);

    let response = whole(logout(&[(COOKIE, &cookie), (ORIGIN, HERE)]).await.unwrap()).await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (200, &b"{\"ok\":true}"[..]));
    assert!(response.headers()[SET_COOKIE].to_str().unwrap().contains("owner_token=; "));
    assert!(response.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(get(&auth, &cookie).await, 401);
    assert_eq!(get(&auth, &other).await, 200, "another session goes on");
    assert_eq!(logout(&[]).await.unwrap().status(), 200);
    let wrong = LogoutService::new(auth.clone()).oneshot(request(Method::GET, &[])).await.unwrap();
    assert_eq!(wrong.status(), 405);
}

#[tokio::test]
async fn t60_a_cookie_from_another_site_changes_nothing() {
    let auth = auth();
    let cookie = session(&auth).await;
    let bearer = cookie.replace("owner_token=", "Bearer ");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let with = |headers: &[(http::HeaderName, &str)]| request(method.clone(), headers);
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9000", "http://localhost:8080"] {
            assert_eq!(
                status(&auth, with(&[(COOKIE, &cookie), (ORIGIN, origin)])).await,
                403,
                "{method} {origin}"
            );
        }
        assert_eq!(status(&auth, with(&[(COOKIE, &cookie)])).await, 403, "{method} without an origin");
        assert_eq!(status(&auth, with(&[(COOKIE, &cookie), (ORIGIN, HERE)])).await, 200);
        assert_eq!(
            status(&auth, with(&[(AUTHORIZATION, &bearer)])).await,
            200,
            "no browser sends that by itself"
        );
    }
    let mut login = login_request("owner", PASSWORD);
    login.headers_mut().insert(ORIGIN, "https://evil.example".parse().unwrap());
    assert_eq!(log_in(&auth, login).await.status(), 403);
}

#[tokio::test]
async fn t42_owner_and_tenant_never_mix() {
    let auth = auth();
    let cookie = session(&auth).await;
    let owner_token = cookie.split_once('=').unwrap().1;
    // The worst case: both sign with the same secret.
    let (minter, key) = TokenMinter::hs256("rag-tower", SECRET.as_bytes()).unwrap();
    let grant = Grant::new(TenantId::named("acme")).with_subject("owner");
    let minted = minter.mint(&grant, Duration::from_mins(5)).unwrap();
    let tenant_token = minted.token;
    // … and the tenant's token has the id of a live session of the owner.
    auth.0.sessions.start(&minted.jti, Duration::from_mins(5)).await.unwrap();

    assert_eq!(get(&auth, &format!("owner_token={tenant_token}")).await, 401);
    let bearer = format!("Bearer {tenant_token}");
    assert_eq!(status(&auth, request(Method::GET, &[(AUTHORIZATION, &bearer)])).await, 401);

    // What has the owner's claims, one for one, is the owner's for its audience alone.
    for (audience, expected) in [(OWNER_AUDIENCE, 200), ("rag-tower", 401), ("rag-tower/owner/", 401)] {
        let elsewhere = token::TokenKey::new(&Secret::new(SECRET), audience);
        let (foreign, jti) = elsewhere.sign("owner", Duration::from_mins(5)).unwrap();
        auth.0.sessions.start(&jti, Duration::from_mins(5)).await.unwrap();
        assert_eq!(get(&auth, &format!("owner_token={foreign}")).await, expected, "{audience}");
    }

    let keys = ApiKeyResolver::new(MemoryApiKeys::new());
    let tenants = CredentialResolver::new(keys, JwtResolver::new("rag-tower", key));
    let bearer = format!("Bearer {owner_token}");
    for headers in [&[(COOKIE, cookie.as_str())][..], &[(AUTHORIZATION, bearer.as_str())]] {
        let parts = request(Method::POST, headers).into_parts().0;
        assert_eq!(tenants.resolve(&parts).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
}

#[tokio::test]
async fn t51_an_unknown_user_and_a_wrong_password_look_alike() {
    let auth = auth();
    let mut fastest = [Duration::MAX; 2];
    let mut bodies = Vec::new();
    for round in 0..4_u8 {
        for (n, username) in ["owner", "nobody"].into_iter().enumerate() {
            let mut request = login_request(username, "a wrong password");
            request.extensions_mut().insert(ClientAddr(IpAddr::from([192, 0, 2, round])));
            let began = Instant::now();
            let response = log_in(&auth, request).await;
            fastest[n] = fastest[n].min(began.elapsed());
            assert_eq!(response.status(), 401);
            assert!(!response.headers().contains_key(SET_COOKIE));
            bodies.push(response.into_body());
        }
    }
    let right_password = log_in(&auth, login_request("nobody", PASSWORD)).await;
    assert_eq!(right_password.status(), 401);
    bodies.push(right_password.into_body());
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    let [known, unknown] = fastest;
    // Skipping the comparison would be faster by three orders of magnitude; this machine may be busy.
    assert!(unknown * 4 > known && known * 4 > unknown, "{known:?} {unknown:?}");
}

#[tokio::test]
async fn t50_guessing_is_slowed_down_but_not_for_the_owner() {
    let auth = auth();
    let from = |mut request: Request<Full<Bytes>>, address: [u8; 4]| {
        request.extensions_mut().insert(ClientAddr(IpAddr::from(address)));
        request
    };
    let attacker = [192, 0, 2, 1];
    let mut refused = None;
    for _ in 0..10 {
        let mut request = from(login_request("owner", "a wrong password"), attacker);
        // No proxy is trusted: what a client says of itself changes nothing.
        request.headers_mut().insert("x-forwarded-for", "203.0.113.1".parse().unwrap());
        let response = log_in(&auth, request).await;
        if response.status() == 429 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("a 429");
    assert!(refused.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let right = log_in(&auth, from(login_request("owner", PASSWORD), attacker)).await;
    assert_eq!(right.status(), 429, "even the right password waits, or a wait would tell");
    let owner = log_in(&auth, from(login_request("owner", PASSWORD), [203, 0, 113, 7])).await;
    assert_eq!(owner.status(), 200);
}

#[tokio::test]
async fn t60_https_makes_the_cookie_a_host_cookie() {
    let auth = OwnerAuth::new(config().with_origins(["https://rag.example.com"])).unwrap();
    let response = log_in(&auth, login_request("owner", PASSWORD)).await;
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-owner_token=") && cookie.ends_with("; Secure"), "{cookie}");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=86400"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain"));
    let plain = cookie.split(';').next().unwrap().replace("__Host-", "");
    assert_eq!(get(&auth, &plain).await, 401, "the plain name counts for nothing there");
}

#[tokio::test]
async fn a_login_that_is_none_says_so_and_repeats_no_secret() {
    let auth = auth();
    let with = |body: &'static str, mime: &'static str| {
        let mut request = login_request("", "");
        *request.body_mut() = Full::new(Bytes::from_static(body.as_bytes()));
        request.headers_mut().insert(CONTENT_TYPE, mime.parse().unwrap());
        request
    };
    let long: &'static str = Box::leak("x".repeat(5_000).into_boxed_str());
    for (body, mime, status) in [
        ("", "application/json", 400),
        ("{\"username\": \"owner\", \"password\": [\"hunter2\"]}", "application/json", 400),
        ("{\"username\": \"owner\", \"password\": \"hunter2\", \"hunter2\": 1}", "application/json", 400),
        ("username=owner&password=hunter2", "application/x-www-form-urlencoded", 415),
        (long, "application/json", 413),
    ] {
        let response = log_in(&auth, with(body, mime)).await;
        assert_eq!(response.status(), status, "{body}");
        assert!(!String::from_utf8_lossy(response.body()).contains("hunter2"));
    }
    let mut get = login_request("owner", PASSWORD);
    *get.method_mut() = Method::GET;
    assert_eq!(log_in(&auth, get).await.status(), 405);
}

#[test]
fn t43_weak_and_example_secrets_are_refused_at_the_start() {
    for weak in ["short", "0123456789abcdef0123456789abcdef", "Your-256-bit-secret-your-256-bit-secret"] {
        let password = OwnerPassword::Plain(Secret::new(PASSWORD));
        let error = OwnerAuth::new(OwnerAuthConfig::new("owner", password, Secret::new(weak))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.to_string().contains(weak), "{error}");
    }
    let debug = format!("{:?} {:?}", config(), auth());
    assert!(!debug.contains(PASSWORD) && !debug.contains(SECRET), "{debug}");
}

/// Sessions that keep what they are told.
#[derive(Clone, Default)]
struct Recording {
    sessions: MemorySessions,
    events: std::sync::Arc<std::sync::Mutex<Vec<AuthEvent>>>,
    broken: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl OwnerSessions for Recording {
    async fn start(&self, id: &str, lifetime: Duration) -> Result<(), rag_tower::Error> {
        self.sessions.start(id, lifetime).await
    }

    async fn is_live(&self, id: &str) -> Result<bool, rag_tower::Error> {
        self.sessions.is_live(id).await
    }

    async fn end(&self, id: &str) -> Result<(), rag_tower::Error> {
        self.sessions.end(id).await
    }

    async fn record(&self, event: &AuthEvent) -> Result<(), rag_tower::Error> {
        if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(rag_tower::Error::new(ErrorKind::StoreUnavailable, rag_tower::Stage::Http));
        }
        self.events.lock().unwrap().push(event.clone());
        Ok(())
    }
}

#[tokio::test]
async fn what_happens_at_the_door_is_recorded_or_nobody_comes_in() {
    let kept = Recording::default();
    let auth = OwnerAuth::with_sessions(config(), kept.clone()).unwrap();
    let attempt = async |username: &str, password: &str| {
        let mut request = login_request(username, password);
        request.extensions_mut().insert(ClientAddr(IpAddr::from([192, 0, 2, 7])));
        whole(LoginService::new(auth.clone()).oneshot(request).await.unwrap()).await
    };
    assert_eq!(attempt("owner", "a wrong password").await.status(), 401);
    assert_eq!(attempt("a wrong name", PASSWORD).await.status(), 401);
    let response = attempt("owner", PASSWORD).await;
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let leave = request(Method::POST, &[(COOKIE, &cookie), (ORIGIN, HERE)]);
    assert_eq!(LogoutService::new(auth.clone()).oneshot(leave).await.unwrap().status(), 200);
    let events = std::mem::take(&mut *kept.events.lock().unwrap());
    let said: Vec<_> = events.iter().map(|event| (event.what, event.username.as_deref())).collect();
    assert_eq!(
        said,
        [
            (AuthEventKind::Refused, Some("owner")),
            (AuthEventKind::Refused, None),
            (AuthEventKind::Login, Some("owner")),
            (AuthEventKind::Logout, Some("owner")),
        ]
    );
    assert_eq!(events[2].client, Some(IpAddr::from([192, 0, 2, 7])));

    kept.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    let unrecorded = attempt("owner", PASSWORD).await;
    assert_eq!(unrecorded.status(), 503);
    assert!(!unrecorded.headers().contains_key(SET_COOKIE));
}
