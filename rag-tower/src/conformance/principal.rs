//! Who calls: a name, a role, perhaps a tenant, and how the credential gets onto a request.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

/// The role of whoever shows no credential.
const ANONYMOUS: &str = "anonymous";
/// Shorter texts are no secrets, and would be found everywhere.
const MIN_SECRET: usize = 8;

/// Somebody who calls routes. Nobody needs to be declared: whoever shows no credential is always tried.
#[derive(Clone)]
#[must_use = "a principal does nothing until it is given to a run"]
pub struct Principal {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) tenant: Option<String>,
    pub(super) refused: bool,
    pub(super) sees_all: bool,
    headers: Vec<(String, String)>,
    put: Option<Arc<Put>>,
}

type Put = dyn Fn(&mut Parts) + Send + Sync;

// === impl Principal ===

impl Principal {
    /// A principal of no tenant, such as the owner of a platform. Its name is its role until it is
    /// [`of`](Self::of) a tenant.
    pub fn new(role: impl Into<String>) -> Self {
        let role = role.into();
        Self {
            name: role.clone(),
            role,
            tenant: None,
            refused: false,
            sees_all: false,
            headers: Vec::new(),
            put: None,
        }
    }

    /// A principal with the role `member` of a tenant.
    pub fn member(tenant: impl Into<String>) -> Self {
        Self::new("member").of(tenant)
    }

    /// Whoever shows no credential.
    pub(super) fn anonymous() -> Self {
        Self::new(ANONYMOUS)
    }

    /// Makes it a principal of a tenant, and names it after both.
    pub fn of(mut self, tenant: impl Into<String>) -> Self {
        let tenant = tenant.into();
        self.name = format!("{} of {tenant}", self.role);
        self.tenant = Some(tenant);
        self
    }

    /// Its name in the report. Default: its role, and its tenant's name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Its credential must open nothing: it has expired, was revoked, or its tenant is suspended.
    pub fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// It sees every tenant's data by right, so canaries are not looked for in what it gets.
    pub fn sees_all(mut self) -> Self {
        self.sees_all = true;
        self
    }

    /// Sends `Authorization: Bearer` with this token.
    pub fn bearer(self, token: impl fmt::Display) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// Sends this header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Puts the credential onto each request: a signature, an extension that a layer reads, a fresh cookie. It runs last.
    pub fn with(mut self, put: impl Fn(&mut Parts) + Send + Sync + 'static) -> Self {
        self.put = Some(Arc::new(put));
        self
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.role == ANONYMOUS
    }

    /// Puts the credential onto a request.
    pub(super) fn sign(&self, parts: &mut Parts) -> Result<(), String> {
        for (name, value) in &self.headers {
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) =
                header.ok_or_else(|| format!("the credential of {} is no header", self.name))?;
            parts.headers.append(name, value);
        }
        if let Some(put) = &self.put {
            put(parts);
        }
        Ok(())
    }

    /// What must not be shown: every header that it sends, and what follows a scheme or a name in one.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut parts = Request::new(()).into_parts().0;
        // what is no header is never sent
        let _ = self.sign(&mut parts);
        let values = parts.headers.values().filter_map(|value| value.to_str().ok());
        let pieces = values.flat_map(|value| [value].into_iter().chain(value.split([' ', '=', ';', ','])));
        pieces.filter(|piece| piece.len() >= MIN_SECRET).map(str::to_owned).collect()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("name", &self.name).finish_non_exhaustive()
    }
}
