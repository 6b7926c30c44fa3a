//! A tenant's routes in the form that the classifier compares questions with.

use std::sync::Arc;

use rag_tower::route::{Decision, Route, Routes};

use super::{Action, RouteData, TenantData};

/// The route of a tenant without routes of its own.
const SEARCH: &str = "search";

impl TenantData {
    /// The tenant's routes, ready for comparing.
    ///
    /// A question that fits none of them is searched for, on the first search route: whether the documents answer it is
    /// then for the search to say. Without any search route it is out of domain; without any route at all every question
    /// is searched for.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let search = self.routes.iter().find(|route| route.action == Action::Search);
        let fallback = match search {
            Some(route) => Decision::Search { intent: route.name.as_str().into() },
            None if self.routes.is_empty() => Decision::Search { intent: SEARCH.into() },
            None => Decision::OutOfDomain,
        };
        Routes::new(self.routes.iter().map(RouteData::route).collect()).with_fallback(fallback)
    }
}

impl RouteData {
    fn route(&self) -> Route {
        let name: Arc<str> = self.name.as_str().into();
        let route = match (self.action, &self.tool) {
            (Action::Tool, Some(tool)) => Route::tool(name, tool.as_str()),
            (Action::OutOfDomain, _) => Route::out_of_domain(),
            (Action::Handoff, _) => Route::handoff(name),
            // A tool without a name does not pass the check.
            (Action::Search | Action::Tool, _) => Route::search(name),
        };
        route
            .with_keywords(self.keywords.iter().map(String::as_str))
            .with_examples(self.examples.iter().map(String::as_str))
    }
}
