//! What each route takes and gives: what the document of the API is made of.

use super::{
    alerts, audit, demo_data, feedback, figures, gaps, handoffs, isolation, logs, prices, replay, tail,
    tenants, views,
};
use crate::api::openapi::Operation;
use crate::isolation::Found;
use crate::owner_store::{
    AlertEvent, AlertLine, AuditLine, Breakdown, Delivery, FeedbackLine, GapPage, GapStanding, HandoffDetail,
    HandoffEvent, HandoffPage, Heatmap, List, LogFacets, LogPage, Overview, PriceLine, PriceList, Revealed,
    SavedView, Spans, TenantDetail, Tenants, Timeseries, TraceDetail, Usage,
};
use crate::replay::Replayed;
use crate::routes::OwnerEndpoint;
use crate::system::Picture;

/// The operation of a route.
pub(crate) fn operation(endpoint: OwnerEndpoint) -> Operation {
    let new = Operation::new;
    match endpoint {
        OwnerEndpoint::Metrics => new("Figures of a range, and of the one before")
            .query::<figures::OverviewParams>()
            .gives::<Overview>(),
        OwnerEndpoint::Timeseries => {
            new("Figures over time").query::<figures::ChartParams>().gives::<Timeseries>()
        }
        OwnerEndpoint::Heatmap => {
            new("How many asks took how long, over time").query::<figures::ChartParams>().gives::<Heatmap>()
        }
        OwnerEndpoint::Breakdown => {
            new("Figures by kind").query::<figures::BreakdownParams>().gives::<Breakdown>()
        }
        OwnerEndpoint::Logs => new("Asks, newest first").query::<logs::ListParams>().gives::<LogPage>(),
        OwnerEndpoint::LogFacets => {
            new("How many asks there are of which kind").query::<logs::ListParams>().gives::<LogFacets>()
        }
        OwnerEndpoint::LogExport => {
            new("Asks as a file").query::<logs::ExportParams>().gives_text(&["text/csv", "application/jsonl"])
        }
        OwnerEndpoint::LogTail => {
            new("Asks as they end").query::<tail::TailParams>().gives_text(&["text/event-stream"])
        }
        OwnerEndpoint::Log => new("An ask in full").gives::<TraceDetail>(),
        OwnerEndpoint::LogSpans => new("The stages of an ask").query::<logs::SpanParams>().gives::<Spans>(),
        OwnerEndpoint::Replay => new("Search for an ask's question again, with other settings")
            .body::<replay::Wish>()
            .gives::<Replayed>(),
        OwnerEndpoint::Handoffs => {
            new("Tickets, newest first").query::<handoffs::Params>().gives::<HandoffPage>()
        }
        OwnerEndpoint::Handoff => new("A ticket with its history").gives::<HandoffDetail>(),
        OwnerEndpoint::HandoffTransition => {
            new("Move a ticket on").body::<handoffs::Transition>().gives::<HandoffDetail>()
        }
        OwnerEndpoint::HandoffNote => {
            new("Note something on a ticket").body::<handoffs::Note>().gives::<HandoffEvent>().status(201)
        }
        OwnerEndpoint::HandoffReveal => {
            new("What is behind the mask of a ticket").body::<handoffs::Reveal>().gives::<Revealed>()
        }
        OwnerEndpoint::Feedback => {
            new("Opinions, newest first").query::<feedback::Params>().gives::<List<FeedbackLine>>()
        }
        OwnerEndpoint::FeedbackReview => new("Say that an opinion was looked at, or was not")
            .body::<feedback::Review>()
            .gives::<FeedbackLine>(),
        OwnerEndpoint::Gaps => new("Questions without an answer, the most asked first")
            .query::<gaps::ListParams>()
            .gives::<GapPage>(),
        OwnerEndpoint::GapExport => new("The same as a file")
            .query::<gaps::ExportParams>()
            .gives_text(&["text/csv", "application/jsonl"]),
        OwnerEndpoint::ResolveGap => {
            new("Say that a gap is closed").body::<gaps::Resolve>().gives::<GapStanding>()
        }
        OwnerEndpoint::ReopenGap => new("Open a gap again").body::<gaps::Reopen>().gives::<GapStanding>(),
        OwnerEndpoint::Views => new("Saved views").gives::<List<SavedView>>(),
        OwnerEndpoint::NewView => {
            new("Save a view").body::<views::NewView>().gives::<SavedView>().status(201)
        }
        OwnerEndpoint::DeleteView => new("Forget a view"),
        OwnerEndpoint::Audit => {
            new("What the owner did, newest first").query::<audit::Params>().gives::<List<AuditLine>>()
        }
        OwnerEndpoint::Tenants => new("Tenants, by slug").query::<tenants::Params>().gives::<Tenants>(),
        OwnerEndpoint::Tenant => new("A tenant in full").gives::<TenantDetail>(),
        OwnerEndpoint::SuspendTenant => {
            new("Refuse a tenant's requests at once").body::<tenants::Suspend>().gives::<TenantDetail>()
        }
        OwnerEndpoint::ResumeTenant => {
            new("Let a tenant in again").body::<tenants::Resume>().gives::<TenantDetail>()
        }
        OwnerEndpoint::Alerts => new("Figures that are watched").gives::<List<AlertLine>>(),
        OwnerEndpoint::NewAlert => {
            new("Watch a figure").body::<alerts::Asked>().gives::<AlertLine>().status(201)
        }
        OwnerEndpoint::ReplaceAlert => new("Change an alert").body::<alerts::Asked>().gives::<AlertLine>(),
        OwnerEndpoint::DeleteAlert => new("Watch a figure no more"),
        OwnerEndpoint::TestAlert => new("Try the webhook of an alert").gives::<Delivery>(),
        OwnerEndpoint::AlertEvents => {
            new("What became of an alert, newest first").query::<alerts::Params>().gives::<List<AlertEvent>>()
        }
        OwnerEndpoint::Usage => {
            new("What models were used, by day").query::<prices::UsageParams>().gives::<Usage>()
        }
        OwnerEndpoint::UsageExport => new("The same as a file")
            .query::<prices::ExportParams>()
            .gives_text(&["text/csv", "application/jsonl"]),
        OwnerEndpoint::Prices => new("The price book").gives::<PriceList>(),
        OwnerEndpoint::NewPrice => {
            new("Price a model from a moment on").body::<prices::Asked>().gives::<PriceLine>().status(201)
        }
        OwnerEndpoint::DeletePrice => new("Forget a price"),
        OwnerEndpoint::System => new("How the server is doing").gives::<Picture>(),
        OwnerEndpoint::Isolation => {
            new("Whether tenants are kept apart").query::<isolation::Params>().gives::<isolation::Isolation>()
        }
        OwnerEndpoint::IsolationCheck => new("Prove again that tenants are kept apart").gives::<Found>(),
        OwnerEndpoint::DemoData => new("What there is of the demo data").gives::<demo_data::DemoData>(),
        OwnerEndpoint::FillDemoData => {
            new("Fill the demo tenants").gives::<demo_data::DemoData>().status(202)
        }
        OwnerEndpoint::RemoveDemoData => {
            new("Remove the demo data").gives::<demo_data::DemoData>().status(202)
        }
        OwnerEndpoint::OpenApi => new("This document").gives::<serde_json::Value>(),
    }
}
