//! What can go wrong with Redis.

use std::fmt;

use ::redis::ErrorKind as Driver;

use crate::error::{Error, Stage};

/// Why Redis did not do what was asked.
///
/// Nothing in it is secret: no address, no password, no key and no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisError {
    /// The address is none that is served.
    InvalidUrl,
    /// TLS is asked for, and the process has no provider for it.
    NoTlsProvider,
    /// The login was refused, or there is none and one is needed.
    Login,
    /// It could not be reached, lost the connection or did not answer in time: why.
    Unavailable(String),
    /// It refused a command: the code of its refusal, such as `NOPERM`.
    Refused(String),
}

// === impl RedisError ===

impl RedisError {
    /// As an error of the library at this stage: [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    #[must_use]
    pub fn at(self, stage: Stage) -> Error {
        Error::store(stage, self)
    }

    /// True when another connection may do better: this one is lost, or is to a primary that has become a replica.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Login => true,
            Self::Refused(code) => code == "READONLY",
            Self::InvalidUrl | Self::NoTlsProvider => false,
        }
    }
}

impl From<::redis::RedisError> for RedisError {
    /// Of what Redis said only the code: the text may quote what it was sent.
    fn from(error: ::redis::RedisError) -> Self {
        match error.kind() {
            Driver::InvalidClientConfig => Self::InvalidUrl,
            Driver::AuthenticationFailed => Self::Login,
            Driver::Io => Self::Unavailable(error.to_string()),
            Driver::Parse => Self::Unavailable("what answers there is no Redis".to_owned()),
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => Self::Login,
                Some(code) => Self::Refused(code.to_owned()),
                None => Self::Refused(error.category().to_owned()),
            },
        }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl => f.write_str(
                "the address of Redis is not valid: expected redis://user:password@host:6379/0, or rediss:// for TLS",
            ),
            Self::NoTlsProvider => {
                f.write_str("TLS to Redis needs a provider: install one of rustls at the start of the program")
            }
            Self::Login => f.write_str("Redis refused the login: check its user and password"),
            Self::Unavailable(why) => write!(f, "Redis is unavailable: {why}"),
            Self::Refused(code) => {
                let mend = match code.as_str() {
                    "NOPERM" => "the login needs scripts, and every command on its own keys",
                    "READONLY" => "it is a replica, and what is shared has to be written",
                    "OOM" => "its memory is full",
                    "LOADING" => "it is starting",
                    _ => "it has to be 6.2 or newer, and no cluster",
                };
                write!(f, "Redis refused a command ({code}): {mend}")
            }
        }
    }
}

impl std::error::Error for RedisError {}
