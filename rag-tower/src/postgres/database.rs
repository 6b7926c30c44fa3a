//! The pool, which nobody outside this module can reach.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{Encode, Postgres, Transaction, Type};

use super::audit::Finding;
use super::error::DatabaseError;
use super::{audit, sql};

/// How to reach the database.
#[derive(Clone)]
#[non_exhaustive]
pub struct DatabaseOptions {
    url: String,
    max_connections: u32,
    acquire_timeout: Duration,
    cache_statements: bool,
}

/// A pool of connections that opens transactions for one tenant or one named role, and nothing else.
///
/// The pool itself is reachable from nowhere: outside this module a connection is only had inside a
/// [`TenantTx`](super::TenantTx) or an [`OwnerTx`](super::OwnerTx), or used by one of the stores here. Cloning it shares the
/// pool.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    lanes: Option<Lanes>,
    login: Login,
}

/// For the short reads that asks wait for: connections that are one role as long as they live, and only ever call one function,
/// which says itself whose call it is, for that call alone. Nothing is to be said before it or undone after it, so a read is
/// one message to a prepared statement. They are few: a process of Postgres that has just worked is faster than one that
/// rested, and here nobody waits for longer work.
#[derive(Clone)]
struct Lanes {
    tenant: PgPool,
    resolver: PgPool,
}

/// What a login is, which says how its transactions begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    /// May become any of the roles and has no rights of its own.
    Server,
    /// An application's own login, which applied the trace tables itself.
    Own {
        /// A superuser, or one that bypasses row-level security: may write traces, reads nothing through us.
        bypasses: bool,
    },
}

/// The roles. None logs in; each may do what its policies name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One tenant's data.
    Tenant,
    /// Appends trace rows.
    Writer,
    /// Finds out what a credential grants.
    Resolver,
    /// The owner of the platform, who reads.
    Owner,
    /// The owner of the platform, who changes something.
    OwnerChange,
    /// Finds whose work is waiting.
    Jobs,
    /// Folds rollups: the jobs' role, while it says that it does.
    Folder,
    /// Makes and drops partitions: the jobs' role, through functions that do no more.
    Keeper,
}

// === impl DatabaseOptions ===

impl DatabaseOptions {
    /// A connection string, `postgres://user:password@host:5432/database`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            cache_statements: true,
        }
    }

    /// Sets the largest number of connections, of which a quarter are for the short reads of every ask. Default: 16.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Sets how long a transaction waits for a free connection before it fails. Default: 5 s.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets whether prepared statements are kept per connection. Default: true; turn it off behind PgBouncer.
    #[must_use]
    pub fn cache_statements(mut self, cache: bool) -> Self {
        self.cache_statements = cache;
        self
    }

    /// That of transactions; the lanes are beside it.
    async fn pool(&self) -> Result<PgPool, DatabaseError> {
        let mut options = PgConnectOptions::from_str(&self.url)
            .map_err(|error| DatabaseError::InvalidUrl(Arc::new(error)))?
            .application_name("rag-tower")
            .options([("timezone", "UTC")]);
        if !self.cache_statements {
            options = options.statement_cache_capacity(0);
        }
        PgPoolOptions::new()
            .max_connections(self.max_connections - 2 * self.each_lane())
            .acquire_timeout(self.acquire_timeout)
            // no ping before each use: the first statement of a transaction finds out, and another connection is taken
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(|error| DatabaseError::Connect(Arc::new(error)))
    }

    /// The connections of a lane, so that both together have a quarter of all. None behind PgBouncer, where the next transaction
    /// may be another session's.
    fn each_lane(&self) -> u32 {
        if self.cache_statements { self.max_connections / 8 } else { 0 }
    }
}

impl fmt::Debug for DatabaseOptions {
    /// Shows no connection string: it holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseOptions")
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

// === impl Database ===

impl Database {
    /// Connects as the server's login and proves that tenants are kept apart: the catalog is audited, and a row
    /// written as one tenant is looked for as another and as nobody.
    ///
    /// # Errors
    /// [`DatabaseError::Refused`] when isolation would not hold, with the SQL that mends it: a superuser, a login that
    /// bypasses row-level security or owns the tables, a table without a forced policy, a view that reads past one.
    /// [`DatabaseError::Unwritable`] when it is a read-only standby or its disk is full.
    pub async fn connect(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let pool = options.pool().await?;
        let each = options.each_lane();
        let lanes = (each > 0).then(|| Lanes::beside(&pool, each));
        let database = Self { pool, lanes, login: Login::Server };
        audit::check(&database).await?;
        Ok(database)
    }

    /// Connects as an application's own login, which has applied the trace tables with
    /// [`migrate_traces`](super::migrate_traces). It becomes no role: row-level security is forced, so the policies
    /// hold for the owner of the tables too.
    ///
    /// A login that bypasses row-level security can write traces with it; every tenant transaction is refused.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`].
    pub async fn connect_own(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let pool = options.pool().await?;
        let bypasses = sqlx::query_scalar(sql::LOGIN_BYPASSES).fetch_one(&pool).await?;
        Ok(Self { pool, lanes: None, login: Login::Own { bypasses } })
    }

    /// Another pool of the same login, of at most this many connections: for what is written in the background, which must
    /// not take connections from those who wait for an answer. It opens the same transactions and no others, and is not audited
    /// again: login and schema are those that were.
    #[must_use]
    pub fn aside(&self, connections: u32) -> Self {
        Self { pool: another(&self.pool, connections.max(1), None), lanes: None, login: self.login }
    }

    /// Closes every connection, after the transactions that are open have ended.
    pub async fn close(&self) {
        for pool in self.pools() {
            pool.close().await;
        }
    }

    /// Open connections, and how many of them are idle.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        let pools = || self.pools();
        (pools().map(PgPool::size).sum(), pools().map(PgPool::num_idle).sum())
    }

    /// The most connections that it opens.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.pools().map(most).sum()
    }

    /// True while another transaction can begin without waiting for somebody to give one back.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pool.num_idle() > 0 || self.pool.size() < most(&self.pool)
    }

    /// Reads the catalog again for what would let tenants see each other, as [`connect`](Self::connect) does.
    ///
    /// # Errors
    /// [`DatabaseError`] when it cannot be read.
    pub async fn audit(&self) -> Result<Vec<Finding>, DatabaseError> {
        audit::catalog(self).await
    }

    /// Writes rows as one tenant and looks for them as another and as nobody, as [`connect`](Self::connect) does. All of it is
    /// rolled back.
    ///
    /// # Errors
    /// [`DatabaseError`] when rows cannot be written or looked for.
    pub async fn probe(&self) -> Result<Vec<Finding>, DatabaseError> {
        audit::probe(self).await
    }

    /// True when the database answers.
    pub async fn is_up(&self) -> bool {
        sqlx::query(sql::PING).execute(&self.pool).await.is_ok()
    }

    /// One that has not connected yet.
    #[cfg(test)]
    pub(super) fn lazily() -> Self {
        let pool = PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new());
        Self { pool, lanes: None, login: Login::Server }
    }

    /// True for the same pool: what one reads is what the other would.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool.connect_options(), &other.pool.connect_options())
    }

    /// True when a transaction as `role` is this one in Postgres: a login of its own becomes none, and stays itself.
    pub(super) fn becomes(&self, role: Role, name: &str) -> bool {
        match self.login {
            Login::Server => role.name() == name,
            Login::Own { .. } => self.pool.connect_options().get_username() == name,
        }
    }

    /// A transaction as `role`, for `tenant` or for nobody.
    pub(super) async fn begin(
        &self,
        role: Role,
        tenant: Option<uuid::Uuid>,
    ) -> Result<Transaction<'static, Postgres>, DatabaseError> {
        let role_name = self.name_of(role)?;
        living(&self.pool, || {
            self.pool.begin_with(sql::begin(role_name, tenant, role.writes(), role.only_reads()))
        })
        .await
    }

    /// One read by a function of the schema, whose `$1` is `argument`: as a tenant, whose the function sets itself, or as the
    /// resolver.
    pub(super) async fn read<'q, A>(
        &self,
        role: Role,
        statement: &'static str,
        argument: A,
    ) -> Result<Vec<PgRow>, DatabaseError>
    where
        A: Copy + Send + Sync + Encode<'q, Postgres> + Type<Postgres> + 'q,
    {
        let Some(lane) = self.lanes.as_ref().and_then(|lanes| lanes.of(role)) else {
            let mut tx = self.begin(role, None).await?;
            return Ok(sqlx::query(statement).bind(argument).fetch_all(&mut *tx).await?);
        };
        living(lane, || sqlx::query(statement).bind(argument).fetch_all(lane)).await
    }

    /// The role that a transaction becomes; none for a login of its own.
    fn name_of(&self, role: Role) -> Result<Option<&'static str>, DatabaseError> {
        if self.login == (Login::Own { bypasses: true }) && role.writes().is_empty() {
            return Err(DatabaseError::Refused(vec![audit::bypassing_login()]));
        }
        Ok((self.login == Login::Server).then(|| role.name()))
    }

    fn pools(&self) -> impl Iterator<Item = &PgPool> {
        let lanes = self.lanes.iter().flat_map(|Lanes { tenant, resolver }| [tenant, resolver]);
        std::iter::once(&self.pool).chain(lanes)
    }

    /// True for an application's own login, which owns the trace tables.
    pub(super) fn is_own(&self) -> bool {
        self.login != Login::Server
    }

    /// A connection with the login's own rights, for the audit.
    pub(super) async fn begin_plain(&self) -> Result<Transaction<'static, Postgres>, DatabaseError> {
        Ok(self.pool.begin().await?)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("login", &self.login)
            .field("connections", &self.connections().0)
            .finish()
    }
}

/// A connection may have died while it rested. Its first round trip tells, and nothing has been done by then, so the next one
/// is tried; a new connection that fails is the database's own answer.
async fn living<T, F>(pool: &PgPool, first: impl Fn() -> F) -> Result<T, DatabaseError>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    for _ in 0..pool.size() {
        let rested = pool.num_idle() > 0;
        match first().await.map_err(DatabaseError::from) {
            Err(DatabaseError::Unavailable(_)) if rested => {}
            other => return other,
        }
    }
    Ok(first().await?)
}

/// As many connections as this to the same database, made when they are needed; for a role, they are that role.
fn another(pool: &PgPool, connections: u32, role: Option<Role>) -> PgPool {
    let mut login = (*pool.connect_options()).clone();
    if let Some(role) = role {
        login = login.options([("role", role.name())]);
    }
    let options = pool.options().clone().min_connections(0).max_connections(connections);
    options.connect_lazy_with(login)
}

fn most(pool: &PgPool) -> u32 {
    pool.options().get_max_connections()
}

// === impl Lanes ===

impl Lanes {
    /// `each` connections for each of the roles.
    fn beside(pool: &PgPool, each: u32) -> Self {
        let lane = |role| another(pool, each, Some(role));
        Self { tenant: lane(Role::Tenant), resolver: lane(Role::Resolver) }
    }

    fn of(&self, role: Role) -> Option<&PgPool> {
        match role {
            Role::Tenant => Some(&self.tenant),
            Role::Resolver => Some(&self.resolver),
            _ => None,
        }
    }
}

// === impl Role ===

impl Role {
    /// Every role of the cluster.
    pub(super) const ALL: [Self; 5] = [Self::Tenant, Self::Writer, Self::Resolver, Self::Owner, Self::Jobs];

    /// Its name in the cluster.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "rag_tenant",
            Self::Writer => "rag_writer",
            Self::Resolver => "rag_resolver",
            Self::Owner | Self::OwnerChange => "rag_owner",
            Self::Jobs | Self::Folder | Self::Keeper => "rag_jobs",
        }
    }

    /// What policies that are not a tenant's ask for besides the role.
    const fn writes(self) -> &'static str {
        match self {
            Self::Writer => "on",
            Self::Folder => "fold",
            Self::Keeper => "keep",
            Self::Tenant | Self::Resolver | Self::Owner | Self::OwnerChange | Self::Jobs => "",
        }
    }

    /// True when Postgres refuses to change anything.
    const fn only_reads(self) -> bool {
        matches!(self, Self::Owner)
    }
}
