//! Makes the roles and brings the schema up to date. The only code that uses a superuser (or a role that may create
//! roles), and only at start.

use std::str::FromStr;
use std::sync::Arc;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqlSafeStr};

use super::database::Role;
use super::error::DatabaseError;

/// The login of the server, unless another is named.
pub const APP_LOGIN: &str = "rag_app";

/// Orders the bootstraps of one cluster: the bytes of "rag_towe".
const BOOTSTRAP_LOCK: i64 = 0x7261_675f_746f_7765;

/// One migration: its version, its name and its SQL, from a file of that name.
macro_rules! migration {
    ($set:literal, $version:literal, $name:literal) => {
        (
            $version,
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/migrations/",
                $set,
                "/",
                $version,
                "_",
                $name,
                ".sql"
            )),
        )
    };
}

/// The trace tables: they apply alone.
const TRACE: &[(i64, &str, &str)] = &[
    migration!("trace", 20261120000001, "traces"),
    migration!("trace", 20261121000001, "rollups"),
    migration!("trace", 20261121000002, "search"),
    migration!("trace", 20261121000003, "partitions"),
    migration!("trace", 20261121000004, "compression"),
];

/// The server's tables: they need the roles and the trace tables.
const SERVER: &[(i64, &str, &str)] = &[
    migration!("server", 20261120000101, "registry"),
    migration!("server", 20261120000102, "corpus"),
    migration!("server", 20261120000103, "sessions"),
    migration!("server", 20261121000101, "rollups"),
    migration!("server", 20261121000102, "search"),
    migration!("server", 20261121000103, "partitions"),
    migration!("server", 20261122000101, "figures"),
    migration!("server", 20261122000102, "logs"),
    migration!("server", 20261122000103, "prices"),
    migration!("server", 20261122000201, "owner"),
    migration!("server", 20261122000202, "owner_state"),
    migration!("server", 20261122000203, "alerts"),
    migration!("server", 20261122000301, "demo"),
    migration!("server", 20261129000101, "canary"),
    migration!("server", 20261129000201, "gaps"),
    migration!("server", 20261129000301, "reads"),
    migration!("server", 20261129000401, "lanes"),
    migration!("server", 20261129000501, "beside"),
];

/// The sets of migrations by name, and the versions of each in their order.
#[must_use]
pub fn migrations() -> [(&'static str, Vec<i64>); 2] {
    let versions = |set: &[(i64, &str, &str)]| set.iter().map(|(version, ..)| *version).collect();
    [("trace", versions(TRACE)), ("server", versions(SERVER))]
}

/// Makes the roles, the login and the whole schema; what is there already stays. Any number of processes may call it
/// at once.
///
/// `admin_url` names a superuser, or a role with CREATEROLE that owns the database. `login` is the server's login; it is
/// made when `password` is given, gets that password, and is made a member of the roles. It gets no right of its own.
///
/// # Errors
/// [`DatabaseError::Connect`], and [`DatabaseError::Migrate`] when the role may not do this or a landed migration
/// has been changed.
pub async fn bootstrap(admin_url: &str, login: &str, password: Option<&str>) -> Result<(), DatabaseError> {
    let options = parse(admin_url)?;
    // Roles belong to the whole cluster and advisory locks to one database: take the lock in the one that all share.
    let mut shared = match options.clone().database("postgres").connect().await {
        Ok(connection) => connection,
        Err(_) => connect(&options).await?,
    };
    let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(BOOTSTRAP_LOCK).execute(&mut shared).await;
    locked.map_err(|error| DatabaseError::Migrate(Arc::new(error)))?;
    let made = roles(&mut shared, login, password).await;
    // closing the connection releases the lock
    let _ = shared.close().await;
    made.map_err(|error| DatabaseError::Migrate(Arc::new(error)))?;

    let mut connection = connect(&options).await?;
    migrate(&mut connection, TRACE).await?;
    migrate(&mut connection, SERVER).await?;
    let _ = connection.close().await;
    Ok(())
}

/// Applies the trace tables alone, as the role that `url` logs in as: one schema with traces, feedback, tickets and their
/// rollups, no roles. For an application that records its traces beside its own tables; its migrations and ours do not
/// meet, because ours are recorded in `rag_tower._migrations`.
///
/// The role that applies them may write traces, fold rollups and keep partitions. Let another one with
/// `SELECT rag_tower.allow_trace_writer('name')`, `SELECT rag_tower.allow_rollup_folder('name')` and
/// `SELECT rag_tower.allow_partition_keeper('name')`.
///
/// # Errors
/// [`DatabaseError::Connect`] and [`DatabaseError::Migrate`].
pub async fn migrate_traces(url: &str) -> Result<(), DatabaseError> {
    let mut connection = connect(&parse(url)?).await?;
    migrate(&mut connection, TRACE).await?;
    let _ = connection.close().await;
    Ok(())
}

fn parse(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    PgConnectOptions::from_str(url).map_err(|error| DatabaseError::InvalidUrl(Arc::new(error)))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
    options.connect().await.map_err(|error| DatabaseError::Connect(Arc::new(error)))
}

async fn migrate(
    connection: &mut PgConnection,
    set: &'static [(i64, &str, &str)],
) -> Result<(), DatabaseError> {
    let migrations = set.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name("rag_tower._migrations");
    migrator.create_schema("rag_tower");
    // the two sets share one table
    migrator.set_ignore_missing(true);
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|error| DatabaseError::Migrate(Arc::new(error)))
}

/// Makes what is missing of the roles and the login.
async fn roles(
    connection: &mut PgConnection,
    login: &str,
    password: Option<&str>,
) -> Result<(), sqlx::Error> {
    for role in Role::ALL {
        if !exists(connection, role.name()).await? {
            quoted(connection, "CREATE ROLE %I NOLOGIN NOINHERIT", &[role.name()]).await?;
        }
    }
    match (exists(connection, login).await?, password) {
        (true, Some(password)) => {
            quoted(connection, "ALTER ROLE %I LOGIN PASSWORD %L", &[login, password]).await?
        }
        (false, Some(password)) => {
            quoted(connection, "CREATE ROLE %I LOGIN NOINHERIT PASSWORD %L", &[login, password]).await?;
        }
        (true, None) => {}
        (false, None) => return Ok(()),
    }
    // Answers and their details are compressed as they are stored: LZ4 takes a fraction of pglz's time, where it is built in.
    let fast: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals))",
    )
    .fetch_one(&mut *connection)
    .await?;
    if fast {
        quoted(connection, "ALTER ROLE %I SET default_toast_compression = lz4", &[login]).await?;
    }
    for role in Role::ALL {
        let member: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_auth_members WHERE roleid = $1::text::regrole AND member = quote_ident($2)::regrole)",
        )
        .bind(role.name())
        .bind(login)
        .fetch_one(&mut *connection)
        .await?;
        if !member {
            quoted(connection, "GRANT %I TO %I", &[role.name(), login]).await?;
        }
    }
    Ok(())
}

async fn exists(connection: &mut PgConnection, role: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(connection)
        .await
}

/// Runs a statement that takes no parameters, with names and literals quoted by Postgres itself.
async fn quoted(
    connection: &mut PgConnection,
    template: &'static str,
    values: &[&str],
) -> Result<(), sqlx::Error> {
    let statement: String = sqlx::query_scalar("SELECT format($1, VARIADIC $2::text[])")
        .bind(template)
        .bind(values)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A file that is in no list would never be applied, and nobody would know.
    #[test]
    fn every_migration_is_in_its_list() {
        for (set, listed) in [("trace", TRACE), ("server", SERVER)] {
            let folder = format!("{}/migrations/{set}", env!("CARGO_MANIFEST_DIR"));
            let files: BTreeSet<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            let names = listed.iter().map(|(version, name, _)| format!("{version}_{name}.sql"));
            assert_eq!(names.collect::<BTreeSet<_>>(), files, "{set}");
        }
    }
}
