//! `ask`: one question in, its answer on stdout as it comes.

use std::io::{Stdout, Write};

use futures_util::StreamExt;
use rag_tower::{Ask, Channel, Event, Question, Source};
use tower::ServiceExt;

use crate::failure::Failure;
use crate::identity::tenant_named;
use crate::operator::{Client, data};
use crate::platform::{Platform, scope_of};

/// Text goes to stdout at once; sources and the trace id to stderr, at the end.
struct Terminal {
    out: Stdout,
    sources: Vec<Source>,
}

/// Asks as a member of the tenant, on the channel `cli`, in this process.
pub(crate) async fn ask(platform: &Platform, question: &str, tenant: &str) -> Result<(), Failure> {
    let question = parse(question)?;
    let tenant =
        tenant_named(&platform.database, tenant).await.map_err(|error| unknown(error.to_string()))?;
    let ask = Ask::new(scope_of(tenant), question).with_channel(Channel::Cli);
    let id = ask.id();
    let stopped = |error: &rag_tower::Error| Failure::because("there is no answer", error);
    let mut answer = platform.asks.clone().oneshot(ask).await.map_err(|error| stopped(&error))?;
    let mut terminal = Terminal::new();
    while let Some(event) = answer.next().await {
        match event.map_err(|error| stopped(&error))? {
            Event::Sources(found) => terminal.sources.extend(found.iter().cloned()),
            Event::Delta(text) => {
                let heard = terminal.write(&text);
                if !heard {
                    return Ok(());
                }
            }
            Event::Finished(finish) => {
                terminal.end(finish.as_str(), &id.to_string());
                return Ok(());
            }
            _ => {}
        }
    }
    Err(incomplete())
}

/// The same through the server that is running.
pub(crate) async fn ask_server(server: &Client, question: &str, tenant: &str) -> Result<(), Failure> {
    // refused here as it is without a server
    parse(question)?;
    let mut events = server.ask(question, tenant).await?;
    let mut terminal = Terminal::new();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| Failure::because("the answer broke off", &error))?;
        let data = data(&event);
        match event.event.as_str() {
            "sources" => {
                terminal.sources = serde_json::from_value(data["sources"].clone())
                    .map_err(|error| Failure::because("the sources cannot be read", &error))?;
            }
            "delta" => {
                let heard = terminal.write(data["text"].as_str().unwrap_or_default());
                if !heard {
                    return Ok(());
                }
            }
            "end" => {
                let word = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
                terminal.end(&word("finish"), &word("trace_id"));
                return Ok(());
            }
            "error" => {
                let detail = data["detail"].as_str().unwrap_or("it does not say why");
                return Err(Failure::new(format!("there is no answer: {detail}")));
            }
            _ => {}
        }
    }
    Err(incomplete())
}

fn parse(question: &str) -> Result<Question, Failure> {
    Question::parse(question).map_err(|error| Failure::usage(error.to_string()))
}

/// A tenant that is not there.
pub(crate) fn unknown(said: String) -> Failure {
    Failure::usage(said).mend(
        "In demo mode there are `language-centre` and `docs`; give a tenant's slug or id with --tenant.",
    )
}

fn incomplete() -> Failure {
    Failure::new("the answer ended before it was complete")
}

// === impl Terminal ===

impl Terminal {
    fn new() -> Self {
        Self { out: std::io::stdout(), sources: Vec::new() }
    }

    /// False when the reader went away, which ends the answer.
    fn write(&mut self, text: &str) -> bool {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_ok()
    }

    fn end(mut self, finish: &str, id: &str) {
        // nowhere is left to say that this could not be said
        let _ = writeln!(self.out);
        let mut err = std::io::stderr();
        for source in &self.sources {
            let _ = writeln!(err, "  [{}] {} ({})", source.n, source.title, source.file_name);
        }
        let _ = writeln!(err, "  {finish} · trace {id}");
    }
}
