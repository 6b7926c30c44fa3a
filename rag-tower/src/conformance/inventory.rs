//! What routes a service has: a list, or an OpenAPI document, in; what the isolation matrix says nothing of, out.

use http::Method;
use serde_json::Value;

use super::entry::{Entry, Place};
use super::openapi::{self, OpenApiError};

/// The routes of a service.
///
/// Make it from what the router is made from, such as a table of routes or the generated document, and never from the
/// entries of the run: a route that somebody adds must be missing among them.
#[derive(Clone, Debug, Default)]
#[must_use = "an inventory does nothing until it is given to a run"]
pub struct Inventory(Vec<Operation>);

/// One route.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: String,
    /// Places that must be explained: each parameter of the path, and what looks like an id elsewhere.
    pub(super) places: Vec<Place>,
}

// === impl Inventory ===

impl Inventory {
    /// The operations of an OpenAPI 3 document. Its parameters and the fields of its JSON bodies that look like ids
    /// (`format: uuid`, or a name such as `id`, `note_id` or `noteIds`) must be explained by the route's entry.
    ///
    /// # Errors
    /// [`OpenApiError`] when it is none.
    pub fn from_openapi(document: &Value) -> Result<Self, OpenApiError> {
        openapi::operations(document).map(Self)
    }

    /// These routes too.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.0
    }
}

impl<P: Into<String>> FromIterator<(Method, P)> for Inventory {
    fn from_iter<I: IntoIterator<Item = (Method, P)>>(routes: I) -> Self {
        Self(routes.into_iter().map(|(method, path)| Operation::new(method, path.into())).collect())
    }
}

// === impl Operation ===

impl Operation {
    pub(super) fn new(method: Method, path: String) -> Self {
        let places = parameters(&path).map(|name| Place::path(name.to_owned())).collect();
        Self { method, path, places }
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// True when the entry is of this route, whatever its parameters are called.
    fn is_of(&self, entry: &Entry) -> bool {
        self.method == entry.method && shape(&self.path) == shape(&entry.path)
    }

    /// What is wrong with what the matrix says of this route.
    pub(super) fn fault(&self, entries: &[Entry]) -> Option<String> {
        let mut found = entries.iter().filter(|entry| self.is_of(entry));
        let Some(entry) = found.next() else {
            return Some("it has no entry in the isolation matrix".to_owned());
        };
        if found.next().is_some() {
            return Some("it has two entries".to_owned());
        }
        if entry.access.is_none() {
            return Some("its entry does not say who may call it".to_owned());
        }
        // an entry may call a parameter of the path otherwise
        let place = self.places.iter().find(|place| match place {
            Place::Path(_) => false,
            _ => !entry.explains(place),
        });
        if let Some(place) = place {
            return Some(format!("{place} looks like a reference, and the entry does not say to what"));
        }
        let unexplained =
            parameters(&entry.path).find(|name| !entry.explains(&Place::path((*name).to_owned())));
        unexplained.map(|name| format!("the entry does not say what goes into {{{name}}}"))
    }

    /// True when the route is among those.
    pub(super) fn is_in(entry: &Entry, operations: &[Self]) -> bool {
        operations.iter().any(|operation| operation.is_of(entry))
    }
}

/// The names of a path's parameters.
pub(super) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.trim_start_matches('*'))
}

/// The path without the names of its parameters.
fn shape(path: &str) -> String {
    let mut pieces = path.split('{');
    let mut shape = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        shape.push_str("{}");
        shape.push_str(piece.split_once('}').map_or("", |(_, rest)| rest));
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_needs_one_entry_that_explains_each_of_its_parameters() {
        let operation = Operation::new(Method::GET, "/notes/{id}/parts/{*rest}".to_owned());
        let fault = |entries: &[Entry]| operation.fault(entries).unwrap_or_default();
        let bare = Entry::get("/notes/{note}/parts/{rest}");
        assert!(fault(&[Entry::post("/notes/{id}/parts/{rest}")]).contains("no entry"));
        assert!(fault(&[Entry::get("/notes/{id}")]).contains("no entry"));
        assert!(fault(std::slice::from_ref(&bare)).contains("who may call it"));
        let scoped = bare.clone().scoped().reference(Place::path("note"), "note");
        assert!(fault(std::slice::from_ref(&scoped)).contains("{rest}"));
        let whole = scoped.value(Place::path("rest"), "1");
        assert_eq!(fault(std::slice::from_ref(&whole)), "");
        assert!(fault(&[whole, bare]).contains("two entries"));
    }
}
