//! Whether tenants are kept apart, who tries to get in, and who is kept out.

use super::{Dashboard, Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rag-tower-isolation",
        title: "rag-tower / Isolation and auth",
        about: "Whether tenants are kept apart, and when that was last shown; refused credentials, limits, \
                and answers that failed closed.",
        rows: vec![now(), shown(), closed(), kept_out()],
    }
}

fn now() -> Row {
    Row::tiles(
        "Now",
        [
            Panel::stat(
                "Violations",
                "short",
                "Something of another tenant that came back and was stopped, or that a canary tenant saw, over the time that is shown. One \
                 wakes somebody up.",
            )
            .ask("", "sum(increase(rag_isolation_violations_total{%job}[$__range]))")
            .bad_above(0.001, 0.001)
            .opens("isolation", ""),
            Panel::stat(
                "Shown to hold",
                "short",
                "By the catalog's audit, by the active probe, and by the canary tenants. The worst server \
                 counts.",
            )
                .ask("{{check}}", "min by (check) (rag_isolation_audit_ok{%job})")
                .called(&[("1", "yes", "green"), ("0", "no", "red")])
                .bad_below(1.0, 1.0)
                .named()
                .opens("isolation", "")
                .wide(8),
            Panel::stat("Last shown", "s", "How long ago that was.")
                .ask("{{check}}", "time() - max by (check) (rag_isolation_audit_timestamp_seconds{%job} > 0)")
                .bad_above(3_700.0, 10_800.0)
                .named()
                .opens("isolation", "")
                .wide(8),
            Panel::stat(
                "Failed closed",
                "short",
                "Answers withheld because isolation could not be shown, over the time that is shown.",
            )
                .ask("", "sum(increase(rag_fail_closed_total{%tenants}[$__range]))")
                .bad_above(1.0, 100.0)
                .opens("logs", "&status=FAIL_CLOSED"),
        ],
    )
}

fn shown() -> Row {
    Row::charts(
        "Isolation",
        [
            Panel::lines(
                "Violations, by the layer that saw them",
                "short",
                "Over the interval. None of it was shown to anybody, unless `canary` says so.",
            )
            .ask("{{layer}}", "sum by (layer) (increase(rag_isolation_violations_total{%job}[%rate]))")
            .bad_above(0.001, 1.0)
            .opens("isolation", ""),
            Panel::lines(
                "Since isolation was last shown",
                "s",
                "Audit and probe run each hour, canaries each few minutes. The best informed server counts.",
            )
            .ask("{{check}}", "time() - max by (check) (rag_isolation_audit_timestamp_seconds{%job} > 0)")
            .bad_above(3_700.0, 10_800.0)
            .opens("isolation", ""),
            Panel::stacked(
                "Asks of the canary tenants",
                "reqps",
                "By how they ended. They are in no other figure; none at all is RAG_TOWER_CANARY_INTERVAL=0.",
            )
            .ask("{{status}}", r#"sum by (status) (rate(rag_requests_total{%job,channel="canary"}[%rate]))"#)
            .bad_above(10.0, 100.0)
            .opens("isolation", ""),
            Panel::lines(
                "Shown to hold",
                "short",
                "1 while the last look showed it. The worst server counts.",
            )
            .ask("{{check}}", "min by (check) (rag_isolation_audit_ok{%job})")
            .bad_below(1.0, 1.0)
            .opens("isolation", ""),
        ],
    )
}

fn closed() -> Row {
    Row::charts(
        "Failed closed",
        [
            Panel::stacked(
                "By reason",
                "reqps",
                "store_unavailable is a store that is down; isolation and filter_unavailable want a look \
                 at once.",
            )
            .ask("{{reason}}", "sum by (reason) (rate(rag_fail_closed_total{%tenants}[%rate]))")
            .bad_above(0.001, 0.1)
            .opens("logs", "&status=FAIL_CLOSED&reason=${__field.labels.reason}"),
            Panel::stacked(
                "By tenant",
                "reqps",
                "The ten with the most. Tenants are told apart only with RAG_TOWER_METRICS_TENANTS.",
            )
            .ask("{{tenant}}", "topk(10, sum by (tenant) (rate(rag_fail_closed_total{%tenants}[%rate])))")
            .bad_above(0.001, 0.1)
            .opens("logs", "&status=FAIL_CLOSED&tenant_id=${__field.labels.tenant}"),
        ],
    )
}

fn kept_out() -> Row {
    Row::charts(
        "Kept out",
        [
            Panel::stacked(
                "Refused credentials, by kind",
                "reqps",
                "wrong_password is somebody at the owner's login; unknown_key and invalid_token are callers.",
            )
                .ask("{{kind}}", "sum by (kind) (rate(rag_auth_failures_total{%job}[%rate]))")
                .bad_above(0.1, 1.0)
                .opens("audit", ""),
            Panel::stacked("401, 403 and 429 by address", "reqps", "Where callers are refused.")
                .ask(
                    "{{status}} {{route}}",
                    r#"sum by (status, route) (rate(http_server_request_duration_seconds_count{%job,status=~"401|403|429"}[%rate]))"#,
                )
                .bad_above(1.0, 10.0)
                .opens("audit", ""),
            Panel::stacked(
                "Rate limited",
                "reqps",
                "Asks above the limit of their tenant or key. RATE_LIMIT_PER_MINUTE=0 limits none.",
            )
                .ask("{{scope}}", "sum by (scope) (rate(rag_rate_limited_total{%job}[%rate]))")
                .bad_above(1.0, 10.0)
                .opens("logs", "&status=RATE_LIMITED"),
            Panel::stacked(
                "WebSockets ended by a limit",
                "short",
                "Over the interval, by which limit. slow_consumer is a caller that does not read.",
            )
                .ask("{{limit}}", "sum by (limit) (increase(rag_ws_limited_total{%job}[%rate]))")
                .bad_above(1.0, 100.0)
                .opens("system", ""),
        ],
    )
}
