//! What a credential grants: the hash of a key, or the claims of a verified token, in; facts out.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::corpus_state::SeenWithKey;
use super::database::{Database, Role as DbRole};
use super::error::DatabaseError;
use super::shared_read::SharedReads;
use super::sql;
use crate::error::{Error, Stage};
use crate::tenant::{ApiKeys, BranchId, Branches, Grant, KeyHash, Role, TenantId, TenantNames};

/// Looks credentials up. Its role sees the one key whose hash is presented, and that key's tenant.
///
/// With a key that counts comes the state of its tenant's corpus, read as that tenant. The first read of texts through a
/// [`PgDocuments`](super::PgDocuments) of the same database goes by it, within a second, and asks for nothing when the texts of
/// that state are known.
///
/// Requests with the same credential at the same time share a look-up that began after the last of them came, so a
/// revocation holds from its commit on. Clones share it too.
#[derive(Clone)]
pub struct PgResolver {
    database: Database,
    keys: Arc<LookUps<[u8; 32], KeyFacts>>,
    tokens: Arc<LookUps<(TenantId, Arc<str>), TokenFacts>>,
}

type LookUps<K, Facts> = SharedReads<K, (), Result<Option<Facts>, DatabaseError>>;

/// What is known of an API key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyFacts {
    /// What it grants, when it [counts](Self::counts). The subject is the key's id.
    pub grant: Grant,
    /// The tenant's slug.
    pub slug: Arc<str>,
    /// False when the tenant is suspended or archived.
    pub tenant_active: bool,
    /// When it stops counting.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

/// What is known of the tenant and the id of a token whose signature has been verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenFacts {
    /// The tenant's slug.
    pub slug: Arc<str>,
    /// False when the tenant is suspended or archived.
    pub tenant_active: bool,
    /// True when the token was revoked.
    pub revoked: bool,
}

/// The first column after the facts of a key.
const AFTER_FACTS: usize = 8;

// === impl PgResolver ===

impl PgResolver {
    /// Looks credentials up in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            keys: Arc::new(SharedReads::new()),
            tokens: Arc::new(SharedReads::new()),
        }
    }

    /// The key with this SHA-256; none when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn key(&self, sha256: &[u8; 32]) -> Result<Option<KeyFacts>, DatabaseError> {
        self.keys.read(*sha256, (), |_| self.read_key(sha256)).await
    }

    /// The tenant that a verified token names, and whether its `jti` was revoked; none when there is no such tenant.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn token(&self, tenant: TenantId, jti: &str) -> Result<Option<TokenFacts>, DatabaseError> {
        self.tokens.read((tenant, jti.into()), (), |_| self.read_token(tenant, jti)).await
    }

    async fn read_key(&self, sha256: &[u8; 32]) -> Result<Option<KeyFacts>, DatabaseError> {
        let began = Instant::now();
        let rows = self.database.read(DbRole::Resolver, sql::RESOLVE_KEY, sha256).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut facts = key_facts(row)?;
        if let Some(seen) = SeenWithKey::of_row(row, AFTER_FACTS, &self.database, began)? {
            facts.grant = facts.grant.with_beside(Arc::new(seen));
        }
        Ok(Some(facts))
    }

    async fn read_token(&self, tenant: TenantId, jti: &str) -> Result<Option<TokenFacts>, DatabaseError> {
        let mut tx = self.database.begin(DbRole::Resolver, None).await?;
        let row: Option<(String, String, bool)> = sqlx::query_as(sql::RESOLVE_TOKEN)
            .bind(tenant.as_uuid())
            .bind(super::text::clean(jti))
            .fetch_optional(&mut *tx)
            .await?;
        Ok(row.map(|(slug, status, revoked)| TokenFacts {
            slug: slug.into(),
            tenant_active: status == "active",
            revoked,
        }))
    }

    /// The tenant with this slug. It is a name and grants nothing.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn slug(&self, slug: &str) -> Result<Option<TenantId>, DatabaseError> {
        let mut tx = self.database.begin(DbRole::Resolver, None).await?;
        let id: Option<Uuid> =
            sqlx::query_scalar(sql::RESOLVE_SLUG).bind(super::text::clean(slug)).fetch_one(&mut *tx).await?;
        Ok(id.map(TenantId::new))
    }
}

impl fmt::Debug for PgResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgResolver").field("database", &self.database).finish_non_exhaustive()
    }
}

impl ApiKeys for PgResolver {
    async fn find(&self, hash: KeyHash) -> Result<Option<Grant>, Error> {
        let facts = self.key(hash.as_bytes()).await.map_err(|error| error.at(Stage::Tenant))?;
        Ok(facts.filter(|facts| facts.counts(OffsetDateTime::now_utc())).map(|facts| facts.grant))
    }
}

/// A UUID is an id already; any other name is looked up among the slugs.
impl TenantNames for PgResolver {
    async fn id_of(&self, name: &str) -> Result<Option<TenantId>, Error> {
        match name.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => self.slug(name).await.map_err(|error| error.at(Stage::Tenant)),
        }
    }
}

/// A token is also revoked when its tenant is suspended, archived or gone.
#[cfg(feature = "jwt")]
impl crate::tenant::Revocations for PgResolver {
    async fn is_revoked(&self, token: &crate::tenant::TokenIdentity) -> Result<bool, Error> {
        let facts = self.token(token.tenant, &token.jti).await.map_err(|error| error.at(Stage::Tenant))?;
        Ok(facts.is_none_or(|facts| !facts.counts()))
    }
}

// === impl KeyFacts ===

impl KeyFacts {
    /// True when the key grants something now: not revoked, not expired, and its tenant is active.
    #[must_use]
    pub fn counts(&self, now: OffsetDateTime) -> bool {
        self.tenant_active && self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

// === impl TokenFacts ===

impl TokenFacts {
    /// True when the token may still be accepted.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.tenant_active && !self.revoked
    }
}

fn key_facts(row: &PgRow) -> Result<KeyFacts, DatabaseError> {
    let key: Uuid = row.try_get("key_id")?;
    let branches = match row.try_get::<Option<Vec<Uuid>>, _>("branches")? {
        None => Branches::All,
        Some(some) => Branches::Only(some.into_iter().map(BranchId::new).collect()),
    };
    let role = match row.try_get::<String, _>("role")?.as_str() {
        "admin" => Role::Admin,
        "agent" => Role::Agent,
        _ => Role::Member,
    };
    Ok(KeyFacts {
        grant: Grant::new(TenantId::new(row.try_get("tenant_id")?))
            .with_branches(branches)
            .with_role(role)
            .with_subject(key.to_string()),
        slug: row.try_get::<String, _>("slug")?.into(),
        tenant_active: row.try_get::<String, _>("tenant_status")? == "active",
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
