//! A tenant's routes in the form that the classifier compares questions with.

use std::sync::Arc;

use rag_tower::route::{Decision, Route, Routes};

use super::{Action, RouteData, TenantData};

/// The route of a tenant without routes of its own.
const SEARCH: &str = "search";
/// The score from which a question is about the tenant, though not clearly of one kind.
const NEAR: f32 = 0.22;

impl TenantData {
    /// The tenant's routes, ready for comparing.
    ///
    /// A question that is clearly of no kind but comes [near](Routes::with_near) goes to the first search route: whether
    /// the documents answer it is then for the search to say. Any other is out of domain. Without any route at all every
    /// question is searched for.
    #[must_use]
    pub fn routes(&self) -> Routes {
        if self.routes.is_empty() {
            return Routes::search_everything(SEARCH);
        }
        let routes = Routes::new(self.routes.iter().map(RouteData::route).collect());
        match self.routes.iter().find(|route| route.action == Action::Search) {
            Some(search) => routes.with_near(NEAR, Decision::Search { intent: search.name.as_str().into() }),
            None => routes,
        }
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
