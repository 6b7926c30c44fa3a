//! What can go wrong with the database, each with what to do about it.

use std::fmt;
use std::sync::Arc;

use super::audit::Finding;
use crate::error::{Error, ErrorKind, Stage};

/// What the driver said. Shared, since one read may serve many.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the database did not do what was asked.
///
/// `Display` never shows a connection string or a value of a row.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The connection string is not one.
    InvalidUrl(Cause),
    /// The server could not be reached or refused the login.
    Connect(Cause),
    /// Isolation would not hold with this login and schema: the findings say why, and the SQL that mends each.
    Refused(Vec<Finding>),
    /// A migration could not be applied.
    Migrate(Cause),
    /// A statement failed.
    Query(Cause),
    /// The connection was lost, or none was free in time.
    Unavailable(Cause),
    /// Nothing can be written, as the probe at start found: a read-only standby, or a full disk.
    Unwritable(Cause),
    /// A statement took longer than it may, and was stopped.
    TooLong(Cause),
    /// A row holds what this version cannot read.
    Unreadable(Cause),
    /// The rows of a day are gone, so that nothing can be made of them again.
    RowsDropped(time::Date),
}

/// A standby, or a database that is set to read only.
const READ_ONLY: &str = "25006";
const DISK_FULL: &str = "53100";

// === impl DatabaseError ===

impl DatabaseError {
    /// As an error of the library at this stage: [`StoreUnavailable`](ErrorKind::StoreUnavailable) when the database
    /// could not be reached, [`Timeout`](ErrorKind::Timeout) when a statement took too long,
    /// [`Isolation`](ErrorKind::Isolation) when row-level security stopped a write, otherwise
    /// [`Internal`](ErrorKind::Internal).
    #[must_use]
    pub fn at(self, stage: Stage) -> Error {
        let kind = match &self {
            Self::Connect(_) | Self::Unavailable(_) | Self::Unwritable(_) => ErrorKind::StoreUnavailable,
            Self::TooLong(_) => ErrorKind::Timeout,
            _ if self.is_row_security() => ErrorKind::Isolation,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, stage).with_source(self)
    }

    /// The SQLSTATE of a failed statement.
    pub(super) fn code(&self) -> Option<String> {
        let Self::Query(source) = self else { return None };
        sqlstate(source)
    }

    /// The same, as [`Unwritable`](Self::Unwritable) when it says that the database takes no rows at all.
    pub(super) fn if_unwritable(self) -> Self {
        match self {
            Self::Unavailable(source)
                if matches!(sqlstate(&source).as_deref(), Some(READ_ONLY | DISK_FULL)) =>
            {
                Self::Unwritable(source)
            }
            other => other,
        }
    }

    /// True when a policy refused a row: the row is, or would become, another tenant's.
    pub(super) fn is_row_security(&self) -> bool {
        self.code().as_deref() == Some("42501")
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let gone = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
            // connection exceptions, resource exhaustion, operator intervention, read-only standby
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["08", "53", "57"].iter().any(|class| code.starts_with(class)) || code == READ_ONLY
            }),
            _ => false,
        };
        // statement_timeout, which only reads of the owner set
        let too_long =
            matches!(&error, sqlx::Error::Database(error) if error.code().as_deref() == Some("57014"));
        let cause: Cause = Arc::new(error);
        if too_long {
            return Self::TooLong(cause);
        }
        if gone { Self::Unavailable(cause) } else { Self::Query(cause) }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(_) => f.write_str(
                "the database URL is not valid: expected postgres://user:password@host:5432/database",
            ),
            Self::Connect(source) => write!(f, "the database refused the connection: {source}"),
            Self::Refused(findings) => {
                f.write_str("the database does not keep tenants apart, so it is not used:")?;
                findings.iter().try_for_each(|finding| write!(f, "\n- {finding}"))
            }
            Self::Migrate(source) => write!(f, "the schema could not be brought up to date: {source}"),
            Self::Query(_) => f.write_str("a statement failed"),
            Self::Unavailable(_) => f.write_str("the database is unavailable"),
            Self::Unwritable(source) => write!(
                f,
                "nothing can be written to the database; it must be the primary, with room on its disk: {source}"
            ),
            Self::TooLong(_) => f.write_str("a statement took too long"),
            Self::Unreadable(_) => f.write_str("a row cannot be read by this version"),
            Self::RowsDropped(day) => {
                write!(f, "the rows of {day} (UTC) were dropped: its rollups are all that is left of it")
            }
        }
    }
}

impl std::error::Error for DatabaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidUrl(source)
            | Self::Connect(source)
            | Self::Migrate(source)
            | Self::Query(source)
            | Self::Unavailable(source)
            | Self::Unwritable(source)
            | Self::TooLong(source)
            | Self::Unreadable(source) => Some(source.as_ref()),
            Self::Refused(_) | Self::RowsDropped(_) => None,
        }
    }
}

fn sqlstate(source: &Cause) -> Option<String> {
    let error = source.downcast_ref::<sqlx::Error>()?;
    Some(error.as_database_error()?.code()?.into_owned())
}
