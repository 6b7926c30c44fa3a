//! What is claimed of one route: who may call it, what it is sent, and which of that refers to something of a tenant.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::principal::Principal;

/// One route's entry in the isolation matrix.
///
/// A fresh entry says nothing of who may call the route, and the run fails until it does: [`public`](Self::public),
/// [`scoped`](Self::scoped), [`scoped_for`](Self::scoped_for) or [`only_for`](Self::only_for).
#[derive(Clone, Debug)]
#[must_use = "an entry does nothing until it is given to a run"]
pub struct Entry {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) access: Option<Access>,
    /// Whom the access is for; nobody named is everybody.
    roles: Vec<String>,
    expected: Vec<(String, Expect)>,
    /// What those get who may call it.
    gives: Expect,
    pub(super) references: Vec<Reference>,
    pub(super) plain: Vec<(Place, Option<String>)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Payload>,
    pub(super) shows_canary: bool,
    pub(super) consumes: bool,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Public,
    Scoped,
    Reserved,
}

/// Where in a request something is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A parameter of the path, by its name in the template.
    Path(Cow<'static, str>),
    /// A parameter of the query.
    Query(Cow<'static, str>),
    /// A header.
    Header(Cow<'static, str>),
    /// A value in the JSON body, by its JSON pointer, such as `/ids`. Where the body holds an array there, ids are its
    /// items, and a foreign one is tried alone and after one of the caller's own.
    Body(Cow<'static, str>),
}

/// A place that holds an id of something that a tenant owns.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) place: Place,
    /// The fixture whose ids go there.
    pub(super) kind: String,
    /// True when the answer to an own id looks like the one to an unknown id.
    pub(super) blind: bool,
}

/// What is sent as the body.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Json(Value),
    Bytes { content_type: String, bytes: Bytes },
}

/// Which statuses are right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// 2xx.
    Success,
    /// 401 or 403.
    Refused,
    /// The handler was reached, whatever it thought of the request: neither 401, 403, 404, 405, 429 nor 5xx.
    Reached,
    /// Any status of a class, such as 4 for 4xx.
    Class(u16),
    /// One of these.
    AnyOf(Vec<u16>),
}

// === impl Entry ===

impl Entry {
    /// An entry of a route; the path has `{name}` for each parameter.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            access: None,
            roles: Vec::new(),
            expected: Vec::new(),
            gives: Expect::Success,
            references: Vec::new(),
            plain: Vec::new(),
            headers: Vec::new(),
            body: None,
            shows_canary: false,
            consumes: false,
        }
    }

    /// A `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST`.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// A `PUT`.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// A `PATCH`.
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// A `DELETE`.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Anybody may call it: every principal gets a 2xx, and nobody anything of a tenant but its own.
    pub fn public(mut self) -> Self {
        self.access = Some(Access::Public);
        self
    }

    /// Every principal of a tenant may call it and gets a 2xx for what is its own; whoever has no tenant gets a 401.
    pub fn scoped(mut self) -> Self {
        self.access = Some(Access::Scoped);
        self
    }

    /// As [`scoped`](Self::scoped), for these roles alone: others of a tenant get a 401 or a 403.
    pub fn scoped_for<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.access = Some(Access::Scoped);
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// These roles alone may call it, whether they have a tenant or not: the owner of a platform, an operator.
    /// Everybody else gets a 401 or a 403.
    pub fn only_for<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.access = Some(Access::Reserved);
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Those who may call it get this, rather than a 2xx; a status will do.
    pub fn gives(mut self, expected: impl Into<Expect>) -> Self {
        self.gives = expected.into();
        self
    }

    /// Expects something else of one role than the access class says; a status will do.
    pub fn expect(mut self, role: impl Into<String>, expected: impl Into<Expect>) -> Self {
        self.expected.push((role.into(), expected.into()));
        self
    }

    /// An id of a [`Fixture`](super::Fixture) goes there. A foreign one must look like an unknown one, and the caller's
    /// own one must not: otherwise the comparison would prove nothing.
    pub fn reference(mut self, place: Place, kind: impl Into<String>) -> Self {
        self.references.push(Reference { place, kind: kind.into(), blind: false });
        self
    }

    /// As [`reference`](Self::reference), where an own id looks like an unknown one too, because the route takes
    /// everything and tells nothing, such as a form for feedback.
    pub fn blind_reference(mut self, place: Place, kind: impl Into<String>) -> Self {
        self.references.push(Reference { place, kind: kind.into(), blind: true });
        self
    }

    /// What goes into a place that refers to nothing.
    pub fn value(mut self, place: Place, value: impl Into<String>) -> Self {
        self.plain.push((place, Some(value.into())));
        self
    }

    /// Says of a parameter in the inventory that it refers to nothing of a tenant, though it looks as if it did. It is
    /// left out of what is sent.
    pub fn no_reference(mut self, place: Place) -> Self {
        self.plain.push((place, None));
        self
    }

    /// Sends this header too. Default: none but `Accept-Encoding: identity` and the body's own.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends this as JSON; ids are put in where a [`Place::Body`] points. Default: no body.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(Payload::Json(body));
        self
    }

    /// Sends these bytes. Default: no body.
    pub fn bytes(mut self, content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.body = Some(Payload::Bytes { content_type: content_type.into(), bytes: bytes.into() });
        self
    }

    /// What a tenant's own principal gets holds the tenant's canary. At least one route must say so for each tenant:
    /// a canary that is never seen where it belongs proves nothing where it is not seen.
    pub fn shows_canary(mut self) -> Self {
        self.shows_canary = true;
        self
    }

    /// A request that succeeds uses its id up, as a deletion does: each one takes a further id of the fixture, never the
    /// first.
    pub fn consumes(mut self) -> Self {
        self.consumes = true;
        self
    }

    /// The method and the path.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// What this principal should get for what is its own.
    pub(super) fn expected_of(&self, principal: &Principal) -> Expect {
        if let Some((_, expected)) = self.expected.iter().rev().find(|(role, _)| *role == principal.role) {
            return expected.clone();
        }
        let named = self.roles.is_empty() || self.roles.contains(&principal.role);
        match self.access {
            Some(Access::Public) | None => self.gives.clone(),
            _ if principal.is_anonymous() => Expect::from(401),
            _ if principal.refused => Expect::Refused,
            Some(Access::Scoped) if principal.tenant.is_none() => Expect::from(401),
            Some(_) if named => self.gives.clone(),
            Some(_) => Expect::Refused,
        }
    }

    /// True when something says what goes into that place, or that nothing does.
    pub(super) fn explains(&self, place: &Place) -> bool {
        let item = |known: &Place| match (known, place) {
            // an array and its first item are one place
            (Place::Body(known), Place::Body(asked)) => known.strip_suffix("/0").unwrap_or(known) == asked,
            _ => known == place,
        };
        self.references.iter().any(|reference| item(&reference.place))
            || self.plain.iter().any(|(known, _)| item(known))
    }

    /// True when the body holds an array there.
    pub(super) fn takes_many(&self, place: &Place) -> bool {
        match (place, &self.body) {
            (Place::Body(pointer), Some(Payload::Json(body))) => {
                body.pointer(pointer).is_some_and(Value::is_array)
            }
            _ => false,
        }
    }
}

// === impl Place ===

impl Place {
    /// A parameter of the path.
    pub fn path(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Path(name.into())
    }

    /// A parameter of the query.
    pub fn query(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Query(name.into())
    }

    /// A header.
    pub fn header(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Header(name.into())
    }

    /// A value in the JSON body, by its JSON pointer.
    pub fn body(pointer: impl Into<Cow<'static, str>>) -> Self {
        Self::Body(pointer.into())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(name) => write!(f, "the path's {{{name}}}"),
            Self::Query(name) => write!(f, "the query's {name}"),
            Self::Header(name) => write!(f, "the header {name}"),
            Self::Body(pointer) => write!(f, "the body's {pointer}"),
        }
    }
}

// === impl Expect ===

impl Expect {
    /// True when that status is right.
    #[must_use]
    pub fn holds(&self, status: StatusCode) -> bool {
        match self {
            Self::Success => status.is_success(),
            Self::Refused => matches!(status.as_u16(), 401 | 403),
            Self::Reached => {
                !matches!(status.as_u16(), 401 | 403 | 404 | 405 | 429) && !status.is_server_error()
            }
            Self::Class(class) => status.as_u16() / 100 == *class,
            Self::AnyOf(statuses) => statuses.contains(&status.as_u16()),
        }
    }

    /// True when whoever is so expected may use the route.
    pub(super) fn lets_in(&self) -> bool {
        match self {
            Self::Success | Self::Reached => true,
            Self::Refused => false,
            Self::Class(class) => *class < 4,
            Self::AnyOf(statuses) => statuses.iter().any(|status| *status < 400),
        }
    }
}

impl From<u16> for Expect {
    /// Exactly this status.
    fn from(status: u16) -> Self {
        Self::AnyOf(vec![status])
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("2xx"),
            Self::Refused => f.write_str("401 or 403"),
            Self::Reached => f.write_str("an answer of the handler"),
            Self::Class(class) => write!(f, "{class}xx"),
            Self::AnyOf(statuses) => {
                let statuses: Vec<_> = statuses.iter().map(u16::to_string).collect();
                f.write_str(&statuses.join(" or "))
            }
        }
    }
}
