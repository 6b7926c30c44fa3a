//! Documents on their way in, and trace rows on their way to Postgres.

use super::{Dashboard, Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rag-tower-ingestion",
        title: "rag-tower / Ingestion and trace store",
        about: "Whether documents are taken in, whether every ask has left its row, and what the server \
                stands on.",
        rows: vec![now(), documents(), rows(), store(), ground()],
    }
}

fn now() -> Row {
    Row::tiles(
        "Now",
        [
            Panel::stat(
                "Rows that wait",
                "short",
                "Trace rows in memory, of all servers: 16,384 of each are the most.",
            )
            .ask("", "sum(rag_trace_queue_depth{%job})")
            .bad_above(4_000.0, 12_000.0)
            .opens("system", ""),
            Panel::stat(
                "Rows in the journal alone",
                "short",
                "They wait on disk for Postgres, which is away or behind.",
            )
            .ask("", "sum(rag_trace_spooled{%job})")
            .bad_above(1_000.0, 100_000.0)
            .opens("system", ""),
            Panel::stat(
                "Rows lost",
                "short",
                "Dropped over the time that is shown: neither Postgres nor the journal took them.",
            )
            .ask("", "sum(increase(rag_trace_dropped_total{%job}[$__range]))")
            .bad_above(0.001, 0.001)
            .opens("system", ""),
            Panel::stat(
                "Partitions ahead",
                "s",
                "For how long there is a partition for each row that may come. Tomorrow's is missing below \
                 a day.",
            )
            .ask("", "max(rag_trace_partitions_until_timestamp_seconds{%job}) - time()")
            .bad_below(86_400.0, 100_000.0)
            .opens("system", ""),
            Panel::stat(
                "Rollups behind",
                "s",
                "For how long the oldest batch of rows waits for its rollups.",
            )
            .ask("", "min(rag_rollup_lag_seconds{%job})")
            .bad_above(60.0, 300.0)
            .opens("system", ""),
            Panel::stat("Dependencies", "short", "What the server stands on. The worst server counts.")
                .ask("{{dependency}}", "min by (dependency) (rag_dependency_up{%job})")
                .called(&[("1", "up", "green"), ("0", "down", "red")])
                .bad_below(1.0, 1.0)
                .named()
                .opens("system", ""),
        ],
    )
}

fn documents() -> Row {
    Row::charts(
        "Documents",
        [
            Panel::lines(
                "Jobs",
                "short",
                "Files and batches of files that wait to be taken in, or are being taken in.",
            )
            .ask("{{state}}", "sum by (state) (rag_ingest_jobs{%job})")
            .bad_above(100.0, 1_000.0)
            .opens("tenants", ""),
            Panel::heatmap(
                "Time of a job",
                "s",
                "To take in a file or a batch of them, or to remove a document, without the wait.",
                "rag_ingest_job_duration_seconds",
                "%job",
            )
            .bad_above(10.0, 120.0)
            .opens("tenants", ""),
            Panel::lines(
                "Files that failed",
                "short",
                "Over the interval, by reason. invalid_input is a file that cannot be read as what it says \
                 it is.",
            )
            .ask("{{reason}}", "sum by (reason) (increase(rag_ingest_failures_total{%job}[%rate]))")
            .bad_above(1.0, 10.0)
            .opens("audit", ""),
            Panel::lines("Oldest job that waits", "s", "0 when none does.")
                .ask("oldest", "max(rag_ingest_oldest_queued_seconds{%job})")
                .bad_above(60.0, 600.0)
                .opens("tenants", ""),
        ],
    )
}

fn rows() -> Row {
    Row::charts(
        "Trace rows on their way",
        [
            Panel::lines("Waiting", "short", "In memory, and in the journal alone.")
                .ask("in memory: {{instance}}", "rag_trace_queue_depth{%job}")
                .ask("in the journal: {{instance}}", "rag_trace_spooled{%job}")
                .bad_above(4_000.0, 100_000.0)
                .opens("system", ""),
            Panel::lines("Journal", "bytes", "Its size. 2 GiB are the most; then rows stay in memory.")
                .ask("{{instance}}", "rag_trace_journal_bytes{%job}")
                .bad_above(1_000_000_000.0, 1_700_000_000.0)
                .opens("system", ""),
            Panel::lines("Writing a batch", "s", "Time to write one batch of rows to Postgres.")
                .percentiles("rag_trace_write_duration_seconds", "%job")
                .bad_above(0.25, 1.0)
                .opens("system", ""),
            Panel::heatmap(
                "Writing a batch",
                "s",
                "How many batches took how long.",
                "rag_trace_write_duration_seconds",
                "%job",
            )
            .bad_above(0.25, 1.0)
            .opens("system", ""),
            Panel::lines(
                "Lost, refused, torn",
                "short",
                "Over the interval: dropped for want of room, refused by Postgres for good, unreadable in \
                 the journal.",
            )
            .ask("dropped", "sum(increase(rag_trace_dropped_total{%job}[%rate]))")
            .ask("refused", "sum(increase(rag_trace_refused_total{%job}[%rate]))")
            .ask("torn", "sum(increase(rag_trace_torn_total{%job}[%rate]))")
            .bad_above(0.001, 1.0)
            .opens("system", ""),
            Panel::lines(
                "What the journal could not do",
                "short",
                "Over the interval, by operation. `append` means that rows are in memory only.",
            )
            .ask(
                "{{operation}}",
                "sum by (operation) (increase(rag_trace_journal_errors_total{%job}[%rate]))",
            )
            .bad_above(0.001, 1.0)
            .opens("system", ""),
        ],
    )
}

fn store() -> Row {
    Row::charts(
        "Trace store",
        [
            Panel::lines("Partitions", "short", "UTC days that there are rows of, or will be.")
                .ask("partitions", "max(rag_trace_partitions{%job})")
                .bad_above(1_000.0, 4_000.0)
                .opens("system", ""),
            Panel::lines(
                "Batches in no rollup yet",
                "short",
                "Figures stay right meanwhile and become slower to read.",
            )
            .ask("waiting", "max(rag_rollup_deltas_waiting{%job})")
            .bad_above(1_000.0, 10_000.0)
            .opens("system", ""),
        ],
    )
}

fn ground() -> Row {
    Row::charts(
        "What it stands on",
        [
            Panel::lines(
                "Database connections in use",
                "percentunit",
                "Of those that a pool may have. At 100 % asks wait for one.",
            )
            .ask(
                "{{pool}}",
                r#"sum by (pool) (rag_db_pool_connections{%job,state="used"})
  / sum by (pool) (rag_db_pool_max_connections{%job})"#,
            )
            .bad_above(0.8, 1.0)
            .opens("system", ""),
            Panel::lines("Dependencies", "short", "1 while the dependency answers. The worst server counts.")
                .ask("{{dependency}}", "min by (dependency) (rag_dependency_up{%job})")
                .bad_below(1.0, 1.0)
                .opens("system", ""),
            Panel::lines(
                "Owner's alerts",
                "short",
                "Alerts of the owner console that are firing, and calls of their webhooks that nobody took.",
            )
            .ask("firing", "max(rag_alerts_firing{%job})")
            .ask("not delivered", r#"sum(increase(rag_alert_deliveries_total{%job,ok="false"}[%rate]))"#)
            .bad_above(1.0, 10.0)
            .opens("alerts", ""),
            Panel::lines(
                "OpenTelemetry spans",
                "cps",
                "Spans for a collector, by what came of them; none without one.",
            )
            .ask("{{result}}", "sum by (result) (rate(rag_otel_spans_total{%job}[%rate]))")
            .opens("system", ""),
        ],
    )
}
