//! The operator: whoever can read the data directory of a running server may use its command line.
//!
//! A server makes a key at each start and keeps it in the lock of its data directory, which only its own user can read.
//! The command line signs a token with it for each request. Such a token lives for a minute, opens the routes of
//! [`Auth::Operator`](crate::routes::Auth::Operator) and nothing else, and is worth nothing after a restart. For asking,
//! it is exchanged for a token of one tenant, so that an ask from the command line goes the way of every other ask.

mod client;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};
use rag_tower::Error;
use rag_tower::http::Problem;
use rag_tower::tenant::AuthFailure;

pub(crate) use self::client::{Client, Taken, data};
use crate::Secret;
use crate::auth::token::TokenKey;
use crate::failure::Failure;
use crate::secrets::random_hex;

/// The audience of the operator's tokens. Those of tenants and of the owner have others.
const AUDIENCE: &str = "rag-tower/operator";
/// Long enough for a request to arrive.
const TOKEN_LIFE: Duration = Duration::from_mins(1);

/// Signs and verifies the operator's tokens. Clones share it.
#[derive(Clone)]
pub(crate) struct OperatorKey {
    secret: Secret,
    tokens: Arc<TokenKey>,
}

/// Proof that a request comes from the operator: made by [`guard`] and by nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator(());

// === impl OperatorKey ===

impl OperatorKey {
    /// A new key, of the system's own randomness.
    pub(crate) fn generate() -> Result<Self, Failure> {
        Ok(Self::of(Secret::new(random_hex(32)?)))
    }

    /// The key that a server announced.
    pub(crate) fn of(secret: Secret) -> Self {
        let tokens = Arc::new(TokenKey::new(&secret, AUDIENCE));
        Self { secret, tokens }
    }

    /// What is announced.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// A token for one request.
    pub(crate) fn token(&self) -> Result<String, Error> {
        self.tokens.sign("operator", TOKEN_LIFE).map(|(token, _)| token)
    }

    fn verify(&self, headers: &HeaderMap) -> Result<Operator, AuthFailure> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return Err(AuthFailure::Missing) };
        let token = given.to_str().ok().and_then(|given| given.strip_prefix("Bearer "));
        self.tokens.verify(token.ok_or(AuthFailure::Malformed)?).map(|_| Operator(()))
    }
}

/// Lets nobody but the operator through; a body that comes without a token is not read.
pub(crate) async fn guard(State(key): State<OperatorKey>, mut request: Request, next: Next) -> Response {
    match key.verify(request.headers()) {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            next.run(request).await
        }
        Err(failure) => Problem::from(failure.refuse()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(key: &OperatorKey, token: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        key.verify(&headers).is_ok()
    }

    #[test]
    fn a_token_of_this_start_counts_and_no_other() {
        let key = OperatorKey::generate().unwrap();
        let told = OperatorKey::of(key.secret().clone());
        assert!(verify(&key, &told.token().unwrap()));
        assert!(!verify(&key, &OperatorKey::generate().unwrap().token().unwrap()), "another start");
        assert!(!verify(&key, key.secret().expose()), "the key itself is never sent");
        assert!(key.verify(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_audience_and_the_time_count() {
        let key = OperatorKey::generate().unwrap();
        let owner = TokenKey::new(key.secret(), crate::auth::OWNER_AUDIENCE);
        assert!(!verify(&key, &owner.sign("operator", TOKEN_LIFE).unwrap().0), "an owner's token");
        let old = key.tokens.sign("operator", Duration::ZERO).unwrap().0;
        let end = std::time::Instant::now() + Duration::from_secs(5);
        while verify(&key, &old) {
            assert!(std::time::Instant::now() < end, "a token that has ended still counts");
            std::thread::yield_now();
        }
    }
}
