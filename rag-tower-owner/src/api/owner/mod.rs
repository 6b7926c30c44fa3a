//! `/owner/api/*`: what happened, for the owner of the platform. Personal data is masked where it is read.

mod alerts;
mod asked;
mod audit;
mod demo_data;
mod feedback;
mod figures;
mod file;
mod gaps;
mod handoffs;
mod isolation;
mod logs;
mod moment;
mod operations;
mod prices;
mod replay;
mod system;
pub(crate) mod tail;
mod tenants;
mod views;

use std::sync::Arc;

use axum::routing::{MethodFilter, MethodRouter, on};
use http::StatusCode;
use rag_tower::Stage;
use rag_tower::http::Problem;
use rag_tower::postgres::DatabaseError;

pub(crate) use self::operations::operation;
use crate::api::openapi;
use crate::app::App;
use crate::routes::OwnerEndpoint;

/// What runs.
pub(crate) fn endpoint(method: MethodFilter, endpoint: OwnerEndpoint) -> MethodRouter<Arc<App>> {
    match endpoint {
        OwnerEndpoint::Metrics => on(method, figures::metrics),
        OwnerEndpoint::Timeseries => on(method, figures::timeseries),
        OwnerEndpoint::Heatmap => on(method, figures::heatmap),
        OwnerEndpoint::Breakdown => on(method, figures::breakdown),
        OwnerEndpoint::Usage => on(method, prices::usage),
        OwnerEndpoint::UsageExport => on(method, prices::export),
        OwnerEndpoint::Prices => on(method, prices::list),
        OwnerEndpoint::NewPrice => on(method, prices::create),
        OwnerEndpoint::DeletePrice => on(method, prices::delete),
        OwnerEndpoint::Logs => on(method, logs::list),
        OwnerEndpoint::LogFacets => on(method, logs::facets),
        OwnerEndpoint::LogExport => on(method, logs::export),
        OwnerEndpoint::LogTail => on(method, tail::tail),
        OwnerEndpoint::Log => on(method, logs::one),
        OwnerEndpoint::LogSpans => on(method, logs::spans),
        OwnerEndpoint::Replay => on(method, replay::replay),
        OwnerEndpoint::Handoffs => on(method, handoffs::list),
        OwnerEndpoint::Handoff => on(method, handoffs::one),
        OwnerEndpoint::HandoffTransition => on(method, handoffs::transition),
        OwnerEndpoint::HandoffNote => on(method, handoffs::note),
        OwnerEndpoint::HandoffReveal => on(method, handoffs::reveal),
        OwnerEndpoint::Feedback => on(method, feedback::list),
        OwnerEndpoint::FeedbackReview => on(method, feedback::review),
        OwnerEndpoint::Gaps => on(method, gaps::list),
        OwnerEndpoint::GapExport => on(method, gaps::export),
        OwnerEndpoint::ResolveGap => on(method, gaps::resolve),
        OwnerEndpoint::ReopenGap => on(method, gaps::reopen),
        OwnerEndpoint::Views => on(method, views::list),
        OwnerEndpoint::NewView => on(method, views::create),
        OwnerEndpoint::DeleteView => on(method, views::delete),
        OwnerEndpoint::Alerts => on(method, alerts::list),
        OwnerEndpoint::NewAlert => on(method, alerts::create),
        OwnerEndpoint::ReplaceAlert => on(method, alerts::replace),
        OwnerEndpoint::DeleteAlert => on(method, alerts::delete),
        OwnerEndpoint::TestAlert => on(method, alerts::test),
        OwnerEndpoint::AlertEvents => on(method, alerts::events),
        OwnerEndpoint::Audit => on(method, audit::list),
        OwnerEndpoint::Tenants => on(method, tenants::list),
        OwnerEndpoint::DemoData => on(method, demo_data::read),
        OwnerEndpoint::FillDemoData => on(method, demo_data::fill),
        OwnerEndpoint::RemoveDemoData => on(method, demo_data::remove),
        OwnerEndpoint::Tenant => on(method, tenants::one),
        OwnerEndpoint::SuspendTenant => on(method, tenants::suspend),
        OwnerEndpoint::ResumeTenant => on(method, tenants::resume),
        OwnerEndpoint::System => on(method, system::state),
        OwnerEndpoint::Isolation => on(method, isolation::state),
        OwnerEndpoint::IsolationCheck => on(method, isolation::check),
        OwnerEndpoint::OpenApi => on(method, openapi::document),
    }
}

fn problem(error: DatabaseError) -> Problem {
    if let DatabaseError::TooLong(_) = error {
        return Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "too_costly",
            "this takes longer than it may: choose a shorter time, a tenant, a route or a status, or look for more letters",
        );
    }
    Problem::from(error.at(Stage::Http))
}

fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
}

fn conflict(detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "conflict", detail)
}

#[cfg(test)]
mod tests;
