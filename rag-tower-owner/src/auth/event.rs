//! What happened at the door, for whoever keeps a record of it.

use std::net::IpAddr;

/// A login, a refused one or a logout. What was tried as a password is not part of it, and neither is a name that was wrong:
/// people type passwords there too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthEvent {
    /// What happened.
    pub what: AuthEventKind,
    /// The owner's name; none of a refused login with another name.
    pub username: Option<String>,
    /// Where the request came from.
    pub client: Option<IpAddr>,
}

/// What happened at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthEventKind {
    /// A session was started.
    Login,
    /// Name or password was wrong.
    Refused,
    /// A session was ended.
    Logout,
}
