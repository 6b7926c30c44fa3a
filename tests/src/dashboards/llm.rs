//! The model servers: whether they answer, how fast, how much they write, and what that costs.

use super::{Dashboard, Panel, Row};

const CALLS: &str = "gen_ai_client_operation_duration_seconds";
const FIRST: &str = "gen_ai_client_operation_time_to_first_chunk_seconds";
const NEXT: &str = "gen_ai_client_operation_time_per_output_chunk_seconds";
const USAGE: &str = "gen_ai_client_token_usage";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rag-tower-llm",
        title: "rag-tower / LLM and cost",
        about: "Calls to model servers, by OpenTelemetry's names for them, and the tokens and dollars of asks. Without a model answers are \
                extractive: then there are no calls.",
        rows: vec![now(), calls(), speed(), fallback(), tokens(), cost()],
    }
}

fn now() -> Row {
    Row::tiles(
        "Now",
        [
            Panel::stat(
                "Calls",
                "reqps",
                "Calls to model servers: answers, follow-ups, routing and embeddings.",
            )
                .ask("", "sum(rate(gen_ai_client_operation_duration_seconds_count{%job}[%rate]))")
                .opens("logs", ""),
            Panel::stat(
                "Calls that failed",
                "percentunit",
                "Share of calls with an error. One that a caller ended by going away is none.",
            )
                .ask(
                    "",
                    r#"(sum(rate(gen_ai_client_operation_duration_seconds_count{%job,error_type!~"|cancelled"}[%rate])) or vector(0))
  / (sum(rate(gen_ai_client_operation_duration_seconds_count{%job}[%rate])) > 0)"#,
                )
                .bad_above(0.01, 0.1)
                .opens("logs", "&status=ERROR"),
            Panel::stat("First piece, p95", "s", "From a call to the first piece of its answer.")
                .ask(
                    "",
                    "histogram_quantile(0.95, sum by (le) \
                     (rate(gen_ai_client_operation_time_to_first_chunk_seconds_bucket{%job}[%rate])))",
                )
                .bad_above(1.0, 5.0)
                .opens("logs", ""),
            Panel::stat(
                "Tokens",
                "short",
                "Tokens of asks over the time that is shown, prompts and answers, estimated ones included.",
            )
                .ask("", "sum(increase(rag_tokens_total{%job}[$__range]))")
                .opens("usage", ""),
            Panel::stat(
                "Cost",
                "currencyUSD",
                "Of asks whose model has a price, over the time that is shown.",
            )
                .ask("", "sum(increase(rag_cost_usd_total{%job}[$__range]))")
                .opens("usage", ""),
            Panel::stat(
                "Unpriced",
                "percentunit",
                "Share of tokens whose model has no price: what they cost is not in any figure.",
            )
                .ask(
                    "",
                    "sum(increase(rag_unpriced_tokens_total{%job}[$__range])) / \
                     (sum(increase(rag_tokens_total{%job}[$__range])) > 0)",
                )
                .bad_above(0.001, 0.1)
                .opens("usage", "&part=prices"),
        ],
    )
}

fn calls() -> Row {
    Row::charts(
        "Calls",
        [
            Panel::stacked("Calls by model", "reqps", "By what was asked of which model.")
                .ask(
                    "{{gen_ai_operation_name}} {{gen_ai_request_model}}",
                    "sum by (gen_ai_operation_name, gen_ai_request_model) \
                     (rate(gen_ai_client_operation_duration_seconds_count{%job}[%rate]))",
                )
                .opens("logs", "&model=${__field.labels.gen_ai_request_model}"),
            Panel::stacked(
                "Calls that failed, by error",
                "reqps",
                "`cancelled` is a caller that went away, which ends the call.",
            )
                .ask(
                    "{{gen_ai_provider_name}}: {{error_type}}",
                    r#"sum by (gen_ai_provider_name, error_type) (rate(gen_ai_client_operation_duration_seconds_count{%job,error_type!=""}[%rate]))"#,
                )
                .bad_above(0.1, 1.0)
                .opens("logs", "&status=ERROR"),
            Panel::lines(
                "Whole call by model, p95",
                "s",
                "Nineteen of twenty calls are complete within this.",
            )
                .p95_by("gen_ai_request_model", CALLS, "%job")
                .bad_above(10.0, 30.0)
                .opens("logs", "&model=${__field.labels.gen_ai_request_model}"),
            Panel::heatmap("Whole call", "s", "How many calls took how long.", CALLS, "%job")
                .bad_above(10.0, 30.0)
                .opens("logs", ""),
        ],
    )
}

fn speed() -> Row {
    Row::charts(
        "Speed",
        [
            Panel::lines(
                "First piece by model, p95",
                "s",
                "From a call to the first piece of its answer: what a reader waits for.",
            )
            .p95_by("gen_ai_request_model", FIRST, "%job")
            .bad_above(1.0, 5.0)
            .opens("logs", "&model=${__field.labels.gen_ai_request_model}"),
            Panel::heatmap("First piece", "s", "How many answers began after how long.", FIRST, "%job")
                .bad_above(1.0, 5.0)
                .opens("logs", ""),
            Panel::lines(
                "Between two pieces by model, p95",
                "s",
                "How smoothly text flows. A reader takes about five words a second.",
            )
            .p95_by("gen_ai_request_model", NEXT, "%job")
            .bad_above(0.25, 1.0)
            .opens("logs", "&model=${__field.labels.gen_ai_request_model}"),
            Panel::heatmap("Between two pieces", "s", "How many pieces came after how long.", NEXT, "%job")
                .bad_above(0.25, 1.0)
                .opens("logs", ""),
        ],
    )
}

fn fallback() -> Row {
    Row::charts(
        "When a provider fails",
        [
            Panel::lines("Tried again", "reqps", "Calls that were repeated, by provider.")
                .ask("{{provider}}", "sum by (provider) (rate(rag_provider_retries_total{%job}[%rate]))")
                .bad_above(0.1, 1.0)
                .opens("logs", ""),
            Panel::lines(
                "Passed over",
                "reqps",
                "Asks that went on to the next provider because this one failed; the last writes \
                 extractive answers.",
            )
            .ask("{{provider}}", "sum by (provider) (rate(rag_provider_fallbacks_total{%job}[%rate]))")
            .bad_above(0.01, 1.0)
            .opens("logs", ""),
        ],
    )
}

fn tokens() -> Row {
    Row::charts(
        "Tokens",
        [
            Panel::stacked(
                "Tokens of asks",
                "cps",
                "Tokens each second, by model, and whether of prompts or answers.",
            )
            .ask("{{model}} {{type}}", "sum by (model, type) (rate(rag_tokens_total{%job}[%rate]))")
            .opens("usage", ""),
            Panel::lines(
                "Share of estimated tokens",
                "percentunit",
                "Tokens that no model server has counted: four characters are taken for one.",
            )
            .ask(
                "{{model}}",
                r#"sum by (model) (rate(rag_tokens_total{%job,estimated="true"}[%rate]))
  / (sum by (model) (rate(rag_tokens_total{%job}[%rate])) > 0)"#,
            )
            .bad_above(0.5, 1.1)
            .opens("usage", ""),
            Panel::heatmap(
                "Tokens of a prompt",
                "short",
                "As model servers count them.",
                USAGE,
                r#"%job,gen_ai_token_type="input""#,
            )
            .bad_above(8_192.0, 32_768.0)
            .opens("logs", "&min_tokens=8192"),
            Panel::heatmap(
                "Tokens of an answer",
                "short",
                "As model servers count them.",
                USAGE,
                r#"%job,gen_ai_token_type="output""#,
            )
            .bad_above(2_048.0, 8_192.0)
            .opens("logs", "&min_tokens=2048"),
        ],
    )
}

fn cost() -> Row {
    Row::charts(
        "Cost",
        [
            Panel::stacked(
                "Dollars an hour, by model",
                "currencyUSD",
                "By the price book at the time of the ask; what is unpriced is not in it.",
            )
            .ask("{{model}}", "sum by (model) (rate(rag_cost_usd_total{%job}[%rate])) * 3600")
            .bad_above(10.0, 100.0)
            .opens("usage", "&model=${__field.labels.model}"),
            Panel::stacked(
                "Unpriced tokens",
                "cps",
                "Tokens of models without a price: add one under Usage and cost.",
            )
            .ask("{{model}}", "sum by (model) (rate(rag_unpriced_tokens_total{%job}[%rate]))")
            .bad_above(0.1, 1_000.0)
            .opens("usage", "&part=prices"),
        ],
    )
}
