//! What the tenants own: canaries in their data, and ids of things that are theirs.

use serde_json::Value;

/// A shorter canary could be in an answer by chance.
const MIN_CANARY: usize = 12;

/// A tenant, and the strings by which its data are recognised.
#[derive(Clone, Debug)]
#[must_use = "a tenant does nothing until it is given to a run"]
pub struct Tenant {
    pub(super) name: String,
    pub(super) canaries: Vec<String>,
    pub(super) asserted: Option<String>,
}

/// Ids of one kind of thing: of each tenant, and one that nobody has.
///
/// The unknown id should look like the others, such as a random UUID among UUIDs: an answer to an id of another shape
/// would differ for that reason.
#[derive(Clone, Debug)]
#[must_use = "a fixture does nothing until it is given to a run"]
pub struct Fixture {
    pub(super) kind: String,
    own: Vec<(String, Value)>,
    pub(super) unknown: Option<Value>,
    pub(super) is_secret: bool,
}

// === impl Tenant ===

impl Tenant {
    /// A tenant by the name that principals and fixtures call it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), canaries: Vec::new(), asserted: None }
    }

    /// A string that is in this tenant's data and nowhere else: in each kind of its data that could leak, such as
    /// titles, texts and names. At least 12 ASCII letters, digits and dashes, so that no encoding changes it.
    pub fn canary(mut self, canary: impl Into<String>) -> Self {
        self.canaries.push(canary.into());
        self
    }

    /// What names it in the tenant header. Default: its name.
    pub fn asserted_as(mut self, value: impl Into<String>) -> Self {
        self.asserted = Some(value.into());
        self
    }

    pub(super) fn asserted(&self) -> &str {
        self.asserted.as_deref().unwrap_or(&self.name)
    }

    /// What is wrong with its canaries.
    pub(super) fn fault(&self) -> Option<String> {
        if self.canaries.is_empty() {
            return Some("it has no canary".to_owned());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let odd = |canary: &&String| canary.len() < MIN_CANARY || !canary.chars().all(plain);
        self.canaries.iter().find(odd).map(|_| {
            format!("a canary is at least {MIN_CANARY} ASCII letters, digits and dashes, so that no encoding hides it")
        })
    }
}

// === impl Fixture ===

impl Fixture {
    /// No ids yet of that kind, such as `"note"`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), own: Vec::new(), unknown: None, is_secret: true }
    }

    /// An id of a tenant's. Further ones are for routes that use them up.
    pub fn own(mut self, tenant: impl Into<String>, id: impl Into<Value>) -> Self {
        self.own.push((tenant.into(), id.into()));
        self
    }

    /// An id that nobody has.
    pub fn unknown(mut self, id: impl Into<Value>) -> Self {
        self.unknown = Some(id.into());
        self
    }

    /// Its ids may be in anybody's answers: names that open nothing, such as tenants' own. Default: a long id of another
    /// tenant that was not sent must not be in an answer.
    pub fn no_secret(mut self) -> Self {
        self.is_secret = false;
        self
    }

    /// The `n`th id of a tenant's, from 0.
    pub(super) fn id_of(&self, tenant: &str, n: usize) -> Option<&Value> {
        self.ids_of(tenant).nth(n)
    }

    pub(super) fn ids_of(&self, tenant: &str) -> impl Iterator<Item = &Value> {
        self.own.iter().filter(move |(owner, _)| owner == tenant).map(|(_, id)| id)
    }
}

/// An id as it is written in a path, a query or a header.
pub(super) fn text_of(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
