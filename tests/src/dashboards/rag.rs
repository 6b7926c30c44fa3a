//! What happens inside an ask, stage by stage.

use super::{Dashboard, Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rag-tower-rag",
        title: "rag-tower / RAG pipeline",
        about: "Where the time of an ask goes, what retrieval finds, what is withheld and why, and what \
                people think of the answers.",
        rows: vec![now(), stages(), retrieval(), withheld(), around(), people()],
    }
}

fn now() -> Row {
    Row::tiles(
        "Now",
        [
            Panel::stat(
                "Answered",
                "percentunit",
                "Share of asks that got an answer of any kind. The canaries' are left out.",
            )
            .ask(
                "",
                r#"sum(rate(rag_requests_total{%asks,status="SUCCESS"}[%rate]))
  / (sum(rate(rag_requests_total{%asks}[%rate])) > 0)"#,
            )
            .bad_below(0.5, 0.8)
            .opens("logs", "&status=SUCCESS"),
            Panel::stat(
                "No answer for want of knowledge",
                "percentunit",
                "Share of asks that abstained: see Knowledge gaps in the console.",
            )
            .ask(
                "",
                r#"sum(rate(rag_requests_total{%asks,status="ABSTAINED"}[%rate]))
  / (sum(rate(rag_requests_total{%asks}[%rate])) > 0)"#,
            )
            .bad_above(0.2, 0.5)
            .opens("gaps", ""),
            Panel::stat(
                "From the cache",
                "percentunit",
                "Share of asks at the cache that it answered. All tenants.",
            )
            .ask(
                "",
                r#"sum(rate(rag_cache_requests_total{%job,cache="answer",result="hit"}[%rate]))
  / (sum(rate(rag_cache_requests_total{%job,cache="answer"}[%rate])) > 0)"#,
            )
            .opens("logs", "&cache=hit"),
            Panel::stat("Own work, p99", "s", "What an ask takes besides providers and stores. All tenants.")
                .ask(
                    "",
                    "histogram_quantile(0.99, sum by (le) (rate(rag_overhead_seconds_bucket{%job}[%rate])))",
                )
                .bad_above(0.01, 0.1)
                .opens("logs", ""),
            Panel::stat(
                "Satisfied",
                "percentunit",
                "Share of thumbs up over the time that is shown. All tenants.",
            )
            .ask(
                "",
                r#"sum(increase(rag_feedback_total{%job,rating="up"}[$__range]))
  / (sum(increase(rag_feedback_total{%job}[$__range])) > 0)"#,
            )
            .bad_below(0.5, 0.7)
            .opens("feedback", ""),
            Panel::stat(
                "Waiting for a person",
                "short",
                "Hand-off tickets that nobody has closed, of all servers on the database.",
            )
            .ask("", "sum(max by (status) (rag_handoffs_open{%job}))")
            .bad_above(20.0, 100.0)
            .opens("handoffs", ""),
        ],
    )
}

fn stages() -> Row {
    Row::charts(
        "Stages (all tenants)",
        [
            Panel::stacked(
                "Time of a mean ask, by stage",
                "s",
                "Seconds spent in a stage, divided by the asks that ended.",
            )
            .ask(
                "{{stage}}",
                "sum by (stage) (rate(rag_stage_duration_seconds_sum{%job}[%rate]))
  / on () group_left () (sum(rate(rag_request_duration_seconds_count{%job}[%rate])) > 0)",
            )
            .bad_above(10.0, 30.0)
            .opens("logs", ""),
            Panel::lines(
                "Stages, p95",
                "s",
                "Nineteen of twenty runs of a stage are over within this. Generate ends with the first \
                 event.",
            )
            .p95_by("stage", "rag_stage_duration_seconds", "%job")
            .bad_above(2.5, 10.0)
            .opens("logs", ""),
            Panel::heatmap(
                "Search",
                "s",
                "How long the search took, in the index and in Postgres.",
                "rag_stage_duration_seconds",
                r#"%job,stage="retrieve""#,
            )
            .bad_above(0.5, 2.5)
            .opens("logs", ""),
            Panel::heatmap(
                "Own work",
                "s",
                "Time of an ask outside providers and stores: what these layers cost.",
                "rag_overhead_seconds",
                "%job",
            )
            .bad_above(0.01, 0.1)
            .opens("logs", ""),
        ],
    )
}

fn retrieval() -> Row {
    Row::charts(
        "Retrieval (all tenants)",
        [
            Panel::heatmap(
                "Passages found",
                "short",
                "Passages that a source found for an ask. Nothing but 0 is an empty index.",
                "rag_retrieved_passages",
                "%job",
            )
            .bad_below(1.0, 2.0)
            .opens("logs", ""),
            Panel::heatmap(
                "Best score",
                "short",
                "The best passage's score, on the source's own scale.",
                "rag_retrieval_top_score",
                "%job",
            )
            .bad_below(0.05, 0.1)
            .opens("gaps", ""),
            Panel::lines(
                "Passages of a mean search",
                "short",
                "By source; together with the share of searches that found nothing, below.",
            )
            .ask(
                "{{source}}",
                "sum by (source) (rate(rag_retrieved_passages_sum{%job}[%rate])) / (sum by (source) \
                     (rate(rag_retrieved_passages_count{%job}[%rate])) > 0)",
            )
            .ask(
                "{{source}}: found nothing",
                r#"sum by (source) (rate(rag_retrieved_passages_bucket{%job,le=~"0|0.0"}[%rate]))
  / (sum by (source) (rate(rag_retrieved_passages_count{%job}[%rate])) > 0)"#,
            )
            .opens("logs", ""),
            Panel::lines(
                "Citations",
                "ops",
                "Citations in answers: kept, or removed because they name no passage that was given.",
            )
            .ask("{{result}}", "sum by (result) (rate(rag_citations_total{%job}[%rate]))")
            .opens("logs", ""),
        ],
    )
}

fn withheld() -> Row {
    Row::charts(
        "Withheld",
        [
            Panel::stacked(
                "No answer for want of knowledge, by reason",
                "reqps",
                "Nothing was found, or nothing fits well enough.",
            )
            .ask("{{reason}}", "sum by (reason) (rate(rag_abstain_total{%tenants}[%rate]))")
            .bad_above(1.0, 10.0)
            .opens("logs", "&status=ABSTAINED&reason=${__field.labels.reason}"),
            Panel::stacked(
                "Failed closed, by reason",
                "reqps",
                "Isolation could not be shown, so nothing was. A store that is down is store_unavailable; \
                 anything else wants a look at once.",
            )
            .ask("{{reason}}", "sum by (reason) (rate(rag_fail_closed_total{%tenants}[%rate]))")
            .bad_above(0.001, 0.1)
            .opens("logs", "&status=FAIL_CLOSED&reason=${__field.labels.reason}"),
        ],
    )
}

fn around() -> Row {
    Row::charts(
        "Cache, routing, memory (all tenants)",
        [
            Panel::stacked(
                "Cache",
                "reqps",
                "What the caches said. A bypass is an ask that no kept answer may serve.",
            )
            .ask(
                "{{cache}} {{result}}",
                "sum by (cache, result) (rate(rag_cache_requests_total{%job}[%rate]))",
            )
            .opens("logs", "&cache=hit"),
            Panel::stacked(
                "Questions that a model may route",
                "reqps",
                "With ROUTER_MODEL; `sure` is one that keywords settled without it.",
            )
            .ask("{{outcome}}", "sum by (outcome) (rate(rag_router_model_total{%job}[%rate]))")
            .opens("logs", ""),
            Panel::lines(
                "Turns of conversations that wait for their store",
                "short",
                "8,192 are the most; further ones are lost to the conversation.",
            )
            .ask("{{instance}}", "rag_memory_queue_depth{%job}")
            .bad_above(1_000.0, 8_000.0)
            .opens("system", ""),
            Panel::lines(
                "Conversations that failed",
                "short",
                "Loads and appends that failed over the interval; the answer says so under `degraded`.",
            )
            .ask("{{operation}}", "sum by (operation) (increase(rag_memory_failures_total{%job}[%rate]))")
            .bad_above(1.0, 10.0)
            .opens("logs", ""),
        ],
    )
}

fn people() -> Row {
    Row::charts(
        "People (all tenants)",
        [
            Panel::stacked("Opinions", "short", "Thumbs up and down over the interval.")
                .ask("{{rating}}", "sum by (rating) (increase(rag_feedback_total{%job}[%rate]))")
                .opens("feedback", ""),
            Panel::stacked("Tickets opened", "short", "Hand-offs over the interval, by what they are about.")
                .ask(
                    "{{reason}}",
                    r#"sum by (reason) (increase(rag_handoffs_total{%job,status="new"}[%rate]))"#,
                )
                .bad_above(10.0, 100.0)
                .opens("handoffs", ""),
            Panel::stacked(
                "Tickets that are not closed",
                "short",
                "By state, of all servers on the database.",
            )
            .ask("{{status}}", "max by (status) (rag_handoffs_open{%job})")
            .bad_above(20.0, 100.0)
            .opens("handoffs", ""),
            Panel::lines("Open WebSocket conversations", "short", "Of all servers together.")
                .ask("open", "sum(rag_ws_connections{%job})")
                .bad_above(500.0, 1_000.0)
                .opens("system", ""),
        ],
    )
}
