//! Who asks: the resolver's ports over Postgres.

use std::sync::Arc;
use std::time::Duration;

use rag_tower::postgres::{Database, PgResolver};
use rag_tower::tenant::{
    ApiKeyResolver, ApiKeys, Asserted, CredentialResolver, Grant, JwtKey, JwtResolver, KeyHash, MintedToken,
    Revocations, TenantId, TenantNames, TokenIdentity, TokenMinter,
};
use rag_tower::{Error, ErrorKind, Stage};
use time::OffsetDateTime;

use crate::Secret;
use crate::config::Config;

/// Who issues this server's tokens.
const ISSUER: &str = "rag-tower";
/// How long a token that this server makes lives.
const TOKEN_LIFE: Duration = Duration::from_mins(15);

/// The resolver of every tenant route: an API key or a token, and the asserted tenant, if any, must agree.
pub(crate) type Resolver = Asserted<CredentialResolver<Credentials, Credentials>, Credentials>;

/// Looks keys, revocations and slugs up in Postgres.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(PgResolver);

/// Makes short-lived tokens of tenants.
#[derive(Clone, Debug)]
pub(crate) struct TenantTokens(Arc<TokenMinter>);

/// What checks credentials, and what mints tenants' tokens, with the same key.
pub(crate) fn identity(
    config: &Config,
    database: &Database,
    secret: &Secret,
) -> Result<(Resolver, TenantTokens), Error> {
    let (minter, key): (TokenMinter, JwtKey) = TokenMinter::hs256(ISSUER, secret.expose().as_bytes())?;
    let credentials = Credentials(PgResolver::new(database));
    let tokens = JwtResolver::new(ISSUER, key).with_revocations(credentials.clone());
    let resolver = CredentialResolver::new(ApiKeyResolver::new(credentials.clone()), tokens);
    let asserted = Asserted::new(resolver).with_header(config.tenant_header.clone()).with_names(credentials);
    Ok((asserted, TenantTokens(Arc::new(minter))))
}

// === impl TenantTokens ===

impl TenantTokens {
    /// A token of a member of the tenant, for a quarter of an hour.
    pub(crate) fn mint(&self, tenant: TenantId, subject: &str) -> Result<MintedToken, Error> {
        self.0.mint(&Grant::new(tenant).with_subject(subject), TOKEN_LIFE)
    }
}

// === impl Credentials ===

impl ApiKeys for Credentials {
    async fn find(&self, hash: KeyHash) -> Result<Option<Grant>, Error> {
        let facts = self.0.key(hash.as_bytes()).await.map_err(|error| error.at(Stage::Tenant))?;
        Ok(facts.filter(|facts| facts.counts(OffsetDateTime::now_utc())).map(|facts| facts.grant))
    }
}

impl Revocations for Credentials {
    async fn is_revoked(&self, token: &TokenIdentity) -> Result<bool, Error> {
        let facts = self.0.token(token.tenant, &token.jti).await.map_err(|error| error.at(Stage::Tenant))?;
        // a tenant that is gone or suspended revokes all its tokens
        Ok(facts.is_none_or(|facts| facts.revoked || !facts.tenant_active))
    }
}

impl TenantNames for Credentials {
    async fn id_of(&self, name: &str) -> Result<Option<TenantId>, Error> {
        if let Ok(id) = name.parse() {
            return Ok(Some(id));
        }
        self.0.slug(name).await.map_err(|error| error.at(Stage::Tenant))
    }
}

/// The tenant that a person at the command line means: a slug or an id.
pub(crate) async fn tenant_named(database: &Database, name: &str) -> Result<TenantId, Error> {
    Credentials(PgResolver::new(database)).id_of(name).await?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, Stage::Tenant).with_message(format!("there is no tenant {name:?}"))
    })
}
