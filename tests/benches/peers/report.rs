//! The tables of a run, and its goals.

use rag_tower_tests::figures::{differences, median, range, short, table};
use serde_json::{Map, Value, json};

use crate::measure::{CONNECTIONS, Measured, milliseconds};
use crate::peer::Peer;

/// A peer with its measurements.
pub(crate) struct Row<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) measured: &'a Measured,
}

/// A goal, what was reached, and whether that is it.
pub(crate) struct Goal {
    what: &'static str,
    found: String,
    reached: bool,
}

/// Everything that a run found.
pub(crate) struct Report<'a> {
    /// The model server is the first.
    pub(crate) rows: Vec<Row<'a>>,
}

// === impl Row ===

impl Row<'_> {
    fn rps(&self) -> f64 {
        median(&self.measured.many.rps)
    }

    fn talks(&self) -> f64 {
        median(&self.measured.talks.rps)
    }

    fn cpu(&self) -> f64 {
        median(&self.measured.many.own)
    }

    /// What it adds to the model's own answer, in each round, in milliseconds.
    fn added(&self, stub: &Self, of: impl Fn(&Measured) -> &Vec<f64>) -> Vec<f64> {
        differences(of(stub.measured), of(self.measured))
    }

    fn added_p50(&self, stub: &Self) -> f64 {
        median(&self.added(stub, |measured| &measured.one_p50))
    }

    fn added_first(&self, stub: &Self) -> f64 {
        median(&self.added(stub, |measured| &measured.first_p50))
    }

    fn exact(&self) -> bool {
        let Measured { slow, fast, .. } = self.measured;
        slow.0 == slow.1 && fast.0 == fast.1
    }
}

// === impl Report ===

impl<'a> Report<'a> {
    fn find(&self, name: &str) -> Option<&Row<'a>> {
        self.rows.iter().find(|row| row.peer.name == name)
    }

    /// What was measured, a line a peer.
    pub(crate) fn figures(&self) -> String {
        let Some(stub) = self.find("stub") else { return String::new() };
        let head = [
            "",
            &format!("requests/s, {CONNECTIONS} at once"),
            "p99",
            "added p50",
            "added p99",
            "first token added",
            "a frame a piece",
            "processor time",
            "of its databases",
            "memory idle, busy",
            "of its databases",
            "start",
        ]
        .map(str::to_owned);
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                let Measured { many, slow, fast, idle, busy, .. } = row.measured;
                let mb = |value: f64| format!("{value:.0}");
                let stores = !row.peer.processes.stores.is_empty() || row.peer.processes.keeps_children;
                let of_stores = |text: String| if stores { text } else { "–".to_owned() };
                let added = |value: f64, own: f64| {
                    if row.peer.name == "stub" {
                        format!("({} ms)", short(own))
                    } else {
                        format!("+{} ms", short(value))
                    }
                };
                vec![
                    row.peer.name.to_owned(),
                    short(row.rps()),
                    format!("{} ms", short(median(&many.p99))),
                    added(row.added_p50(stub), median(&row.measured.one_p50)),
                    added(
                        median(&row.added(stub, |measured| &measured.one_p99)),
                        median(&row.measured.one_p99),
                    ),
                    added(row.added_first(stub), median(&row.measured.first_p50)),
                    format!("{}/{}, {}/{}", slow.1, slow.0, fast.1, fast.0),
                    format!("{} ms", short(row.cpu())),
                    of_stores(format!("{} ms", short(median(&many.stores)))),
                    format!("{}, {} MB", mb(idle.own), mb(busy.own)),
                    of_stores(format!("{}, {} MB", mb(idle.stores), mb(busy.stores))),
                    format!("{} s", short(row.peer.start.as_secs_f64())),
                ]
            })
            .collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        table(&head, &rows)
    }

    /// Those that are asked within conversations too.
    pub(crate) fn talks(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .filter(|row| row.peer.talks)
            .map(|row| {
                let talks = &row.measured.talks;
                vec![
                    row.peer.name.to_owned(),
                    short(row.talks()),
                    format!("{} ms", short(median(&talks.p99))),
                    format!("{} ms", short(median(&talks.own))),
                    format!("{} ms", short(median(&talks.stores))),
                ]
            })
            .collect();
        table(&["in conversations", "requests/s", "p99", "processor time", "of its databases"], &rows)
    }

    /// What each peer is.
    pub(crate) fn described(&self) -> String {
        let lines = self.rows.iter().map(|row| format!("- {}: {}\n", row.peer.name, row.peer.described));
        lines.collect()
    }

    /// The goals whose peers were measured.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        let Some(stub) = self.find("stub") else { return goals };
        let [gateway, server, fastapi, litellm, tensorzero] =
            ["gateway", "server", "fastapi", "litellm", "tensorzero"].map(|name| self.find(name));
        let mut goal = |what, found: String, reached| goals.push(Goal { what, found, reached });
        let mut ratio = |what, (one, other): (f64, f64), least: f64| {
            goal(what, format!("{}×", short(one / other)), one / other >= least);
        };
        if let (Some(server), Some(fastapi)) = (server, fastapi) {
            ratio("server: 8 times the requests/s of the FastAPI design", (server.rps(), fastapi.rps()), 8.0);
            ratio("in conversations: 4 times its requests/s", (server.talks(), fastapi.talks()), 4.0);
            let memory = (fastapi.measured.busy.own, server.measured.busy.own);
            ratio("server: a third of its memory under load", memory, 3.0);
        }
        if let (Some(server), Some(litellm)) = (server, litellm) {
            ratio("server: 10 times LiteLLM's requests/s", (server.rps(), litellm.rps()), 10.0);
            let memory = (litellm.measured.busy.own, server.measured.busy.own);
            ratio("server: a third of its memory under load", memory, 3.0);
        }
        if let (Some(gateway), Some(tensorzero)) = (gateway, tensorzero) {
            let (own, other) = (gateway.added_p50(stub), tensorzero.added_p50(stub));
            let found = format!("+{} ms, TensorZero +{} ms", short(own), short(other));
            goal("gateway, tracing: adds no more p50 than TensorZero without", found, own <= other);
        }
        if let Some(gateway) = gateway {
            let cpu = gateway.cpu();
            goal("gateway: 0.2 ms of processor time a request", format!("{} ms", short(cpu)), cpu <= 0.2);
        }
        for (row, first, frames) in [
            (gateway, "gateway: 1 ms to the first token at most", "gateway: a frame a piece"),
            (server, "server: 1 ms to the first token at most", "server: a frame a piece"),
        ] {
            if let Some(row) = row {
                let added = row.added_first(stub);
                goal(first, format!("+{} ms", short(added)), added <= 1.0);
                goal(frames, if row.exact() { "all" } else { "not all" }.to_owned(), row.exact());
            }
        }
        goals
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let mut out = Map::new();
        let Some(stub) = self.find("stub") else { return Value::Null };
        for row in &self.rows {
            let (least, most) = range(&row.measured.many.rps);
            let Measured { many, talks, slow, fast, idle, busy, .. } = row.measured;
            out.insert(
                row.peer.name.to_owned(),
                json!({
                    "rps": row.rps().round(),
                    "rps_of_rounds": [least.round(), most.round()],
                    "p99_ms": round(median(&many.p99)),
                    "p50_ms_alone": round(median(&row.measured.one_p50)),
                    "added_p50_ms": round(row.added_p50(stub)),
                    "added_p99_ms": round(median(&row.added(stub, |measured| &measured.one_p99))),
                    "added_first_token_ms": round(row.added_first(stub)),
                    "added_first_token_p99_ms": round(median(&row.added(stub, |measured| &measured.first_p99))),
                    "streams_exact": [slow.1 + fast.1, slow.0 + fast.0],
                    "cpu_ms": round(row.cpu()),
                    "databases_cpu_ms": round(median(&many.stores)),
                    "idle_mb": idle.own, "busy_mb": busy.own,
                    "databases_idle_mb": idle.stores, "databases_busy_mb": busy.stores,
                    "start_s": round(milliseconds(row.peer.start) / 1000.0),
                    "talks_rps": row.peer.talks.then(|| row.talks().round()),
                    "talks_cpu_ms": row.peer.talks.then(|| round(median(&talks.own))),
                    "failed": row.measured.failed,
                }),
            );
        }
        Value::Object(out)
    }
}

// === impl Goal ===

impl Goal {
    pub(crate) fn table(goals: &[Self]) -> String {
        let row = |goal: &Self| {
            vec![
                goal.what.to_owned(),
                goal.found.clone(),
                if goal.reached { "reached" } else { "**missed**" }.to_owned(),
            ]
        };
        table(&["goal", "found", ""], &goals.iter().map(row).collect::<Vec<_>>())
    }
}

fn round(n: f64) -> f64 {
    (n * 1000.0).round() / 1000.0
}
