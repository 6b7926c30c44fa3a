//! Rate, errors and duration of asks, and how much of the error budget is left.

use super::{Dashboard, Panel, Row};

const FAILED: &str = r#"sum(rate(rag_requests_total{%asks,status=~"ERROR|FAIL_CLOSED"}[%rate]))"#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rag-tower-overview",
        title: "rag-tower / Overview",
        about: "How many questions are asked, how many fail, how long they take, and whether the service \
                levels hold. Start here.",
        rows: vec![now(), requests(), errors(), durations(), levels(), http()],
    }
}

fn now() -> Row {
    Row::tiles(
        "Now",
        [
            Panel::stat(
                "Asks",
                "reqps",
                "Questions that have ended, each second. The canaries' are left out.",
            )
                .ask("", "sum(rate(rag_requests_total{%asks}[%rate]))")
                .opens("logs", ""),
            Panel::stat(
                "Failed",
                "percentunit",
                "Share of asks that ended in an error or failed closed. A caller who goes away, a limit and a question without an \
                 answer are no failures.",
            )
            .ask("", &format!("{FAILED} / (sum(rate(rag_requests_total{{%asks}}[%rate])) > 0)"))
            .bad_above(0.005, 0.05)
            .opens("logs", "&status=ERROR"),
            Panel::stat("First text, p95", "s", "Nineteen of twenty answers begin within this. All tenants.")
                .ask(
                    "",
                    "histogram_quantile(0.95, sum by (le) \
                     (rate(rag_time_to_first_token_seconds_bucket{%routes}[%rate])))",
                )
                .bad_above(1.0, 2.5)
                .opens("logs", ""),
            Panel::stat(
                "Whole answer, p95",
                "s",
                "Nineteen of twenty answers are complete within this. All tenants.",
            )
                .ask(
                    "",
                    "histogram_quantile(0.95, sum by (le) \
                     (rate(rag_request_duration_seconds_bucket{%routes}[%rate])))",
                )
                .bad_above(10.0, 30.0)
                .opens("logs", ""),
            Panel::stat(
                "Error budget left",
                "percentunit",
                "Of the failures that 99.5 % allows over the time that is shown. Below zero the promise is broken. Look at 30 days to \
                 judge the promise itself.",
            )
            .ask(
                "",
                r#"1 - sum(increase(rag_requests_total{%asks,status=~"ERROR|FAIL_CLOSED"}[$__range]))
  / (sum(increase(rag_requests_total{%asks,status!~"RATE_LIMITED|OVER_BUDGET"}[$__range])) > 0) / 0.005"#,
            )
            .bad_below(0.0, 0.25)
            .opens("logs", "&status=ERROR"),
            Panel::stat(
                "Alerts firing",
                "short",
                "Alerts of Prometheus. What each wants is in grafana/README.md.",
            )
                .ask("", r#"count(ALERTS{alertstate="firing",%job}) or vector(0)"#)
                .bad_above(1.0, 3.0),
        ],
    )
}

fn requests() -> Row {
    Row::charts(
        "Rate",
        [
            Panel::stacked(
                "Asks by how they ended",
                "reqps",
                "A click leads to the requests with that status.",
            )
                .ask("{{status}}", "sum by (status) (rate(rag_requests_total{%asks}[%rate]))")
                .opens("logs", "&status=${__field.labels.status}"),
            Panel::stacked(
                "Asks by route",
                "reqps",
                "What answered: a search, a tool, or none when the ask ended before that.",
            )
                .ask("{{route}}", "sum by (route) (rate(rag_requests_total{%asks}[%rate]))")
                .opens("logs", "&route=${__field.labels.route}"),
            Panel::stacked("Asks by channel", "reqps", "Where questions come from.")
                .ask("{{channel}}", "sum by (channel) (rate(rag_requests_total{%asks}[%rate]))")
                .opens("logs", "&channel=${__field.labels.channel}"),
            Panel::stacked(
                "Asks of the busiest tenants",
                "reqps",
                "The ten that ask most, by id. Tenants are told apart only with RAG_TOWER_METRICS_TENANTS; without it there is one line \
                 without a name.",
            )
            .ask("{{tenant}}", "topk(10, sum by (tenant) (rate(rag_requests_total{%asks}[%rate])))")
            .opens("logs", "&tenant_id=${__field.labels.tenant}"),
        ],
    )
}

fn errors() -> Row {
    Row::charts(
        "Errors",
        [
            Panel::lines(
                "Share that failed, by route",
                "percentunit",
                "Errors and asks that failed closed, of all of that route.",
            )
                .ask(
                    "{{route}}",
                    r#"sum by (route) (rate(rag_requests_total{%asks,status=~"ERROR|FAIL_CLOSED"}[%rate]))
  / (sum by (route) (rate(rag_requests_total{%asks}[%rate])) > 0)"#,
                )
                .bad_above(0.005, 0.05)
                .opens("logs", "&status=ERROR&route=${__field.labels.route}"),
            Panel::lines(
                "Callers that went away",
                "reqps",
                "Before the first piece of text they did not want to wait; while it streamed they had read enough, or the connection broke. \
                 All tenants.",
            )
            .ask("{{phase}}", "sum by (phase) (rate(rag_stream_aborts_total{%job}[%rate]))")
            .bad_above(1.0, 10.0)
            .opens("logs", "&status=CANCELLED"),
            Panel::lines(
                "Panics",
                "short",
                "Handlers that panicked, over the interval. The caller got a 500, and the server's log has \
                 the place. Never right.",
            )
            .ask("panics", "sum(increase(rag_panics_total{%job}[%rate]))")
            .bad_above(1.0, 2.0)
            .opens("logs", "&status=ERROR"),
            Panel::lines(
                "Stopped by a limit",
                "reqps",
                "Asks above their rate limit, of a tenant or of one of its keys.",
            )
                .ask("{{scope}}", "sum by (scope) (rate(rag_rate_limited_total{%job}[%rate]))")
                .bad_above(1.0, 10.0)
                .opens("logs", "&status=RATE_LIMITED"),
        ],
    )
}

fn durations() -> Row {
    let (whole, first) = ("rag_request_duration_seconds", "rag_time_to_first_token_seconds");
    Row::charts(
        "Duration (all tenants)",
        [
            Panel::lines(
                "To the first piece of text",
                "s",
                "From the start of an ask to the first text of its answer.",
            )
            .percentiles(first, "%routes")
            .bad_above(1.0, 2.5)
            .opens("logs", ""),
            Panel::heatmap(
                "To the first piece of text",
                "s",
                "How many answers began after how long.",
                first,
                "%routes",
            )
            .bad_above(1.0, 2.5)
            .opens("logs", ""),
            Panel::lines(
                "To the end",
                "s",
                "From the start of an ask to the end of its answer, whatever the end.",
            )
            .percentiles(whole, "%routes")
            .bad_above(10.0, 30.0)
            .opens("logs", ""),
            Panel::heatmap("To the end", "s", "How many asks took how long.", whole, "%routes")
                .bad_above(10.0, 30.0)
                .opens("logs", ""),
        ],
    )
}

fn levels() -> Row {
    let burn = |panel: Panel, what: &str, budget: &str| {
        ["1h", "6h", "3d"].into_iter().fold(panel, |panel, window| {
            panel.ask(
                &format!("over {window}"),
                &format!("max(job:{what}:ratio_rate{window}{{%job}}) / {budget}"),
            )
        })
    };
    Row::charts(
        "Service levels: how fast the budget burns (recorded by grafana/rules/slo.yml, all tenants)",
        [
            burn(
                Panel::lines(
                    "99.5 % of asks do not fail",
                    "short",
                    "1 uses the budget up in just 30 days; 14.4, over an hour, uses a fiftieth of it in \
                     that hour and wakes somebody up.",
                ),
                "rag_asks_failed",
                "0.005",
            )
            .bad_above(1.0, 14.4)
            .opens("logs", "&status=ERROR"),
            burn(
                Panel::lines(
                    "95 % of answers begin within 2.5 seconds",
                    "short",
                    "1 uses the budget up in just 30 days. A slow model is the usual cause: see LLM and \
                     cost.",
                ),
                "rag_first_text_late",
                "0.05",
            )
            .bad_above(1.0, 6.0)
            .opens("logs", "&min_ms=2500"),
        ],
    )
}

fn http() -> Row {
    Row::charts(
        "HTTP (every address, all tenants)",
        [
            Panel::stacked(
                "Responses by status",
                "reqps",
                "499 is a caller that went away before there was a response.",
            )
            .ask(
                "{{status}}",
                "sum by (status) (rate(http_server_request_duration_seconds_count{%job}[%rate]))",
            )
            .opens("logs", ""),
            Panel::lines(
                "Whole response by address, p95",
                "s",
                "A stream counts until its last byte, and a live view for as long as it is open.",
            )
            .p95_by("route", "http_server_request_duration_seconds", "%job")
            .bad_above(10.0, 30.0)
            .opens("logs", ""),
            Panel::heatmap(
                "Whole response",
                "s",
                "How many responses took how long, of every address.",
                "http_server_request_duration_seconds",
                "%job",
            )
            .bad_above(10.0, 30.0)
            .opens("logs", ""),
            Panel::lines("In flight", "short", "Requests that have no complete response yet.")
                .ask("{{method}} {{route}}", "sum by (method, route) (http_server_active_requests{%job})")
                .bad_above(200.0, 256.0)
                .opens("system", ""),
            Panel::stat("Servers by version", "short", "How many servers of which version Prometheus sees.")
                .ask("{{version}}", "count by (version) (rag_build_info{%job})")
                .bad_below(1.0, 1.0)
                .named()
                .opens("system", "")
                .wide(12),
        ],
    )
}
