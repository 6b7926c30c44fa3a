//! `ask`: one question in, its answer on stdout as it comes.

use std::io::Write;

use futures_util::StreamExt;
use rag_tower::{Ask, Channel, Event, Finish, Question};
use tower::ServiceExt;

use crate::failure::Failure;
use crate::identity::tenant_named;
use crate::platform::{Platform, scope_of};

/// Asks as a member of the tenant, on the channel `cli`. Text goes to stdout, sources and the trace id to stderr.
pub(crate) async fn ask(platform: &Platform, question: &str, tenant: &str) -> Result<(), Failure> {
    let question = Question::parse(question).map_err(|error| Failure::usage(error.to_string()))?;
    let tenant = tenant_named(&platform.database, tenant).await.map_err(|error| {
        Failure::usage(error.to_string()).mend(
            "In demo mode there are `language-centre` and `docs`; give a tenant's slug or id with --tenant.",
        )
    })?;
    let ask = Ask::new(scope_of(tenant), question).with_channel(Channel::Cli);
    let id = ask.id();
    let stopped = |error: &rag_tower::Error| Failure::because("there is no answer", error);
    let mut answer = platform.asks.clone().oneshot(ask).await.map_err(|error| stopped(&error))?;
    let mut sources = Vec::new();
    let mut out = std::io::stdout();
    while let Some(event) = answer.next().await {
        match event.map_err(|error| stopped(&error))? {
            Event::Sources(found) => sources.extend(found.iter().cloned()),
            Event::Delta(text) => {
                // a reader that went away ends the answer
                let heard = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
                if !heard {
                    return Ok(());
                }
            }
            Event::Finished(finish) => {
                let _ = writeln!(out);
                tell(&sources, &finish, id);
                return Ok(());
            }
            _ => {}
        }
    }
    Err(Failure::new("the answer ended before it was complete"))
}

fn tell(sources: &[rag_tower::Source], finish: &Finish, id: rag_tower::AskId) {
    let mut err = std::io::stderr();
    for source in sources {
        // nowhere is left to say that this could not be said
        let _ = writeln!(err, "  [{}] {} ({})", source.n, source.title, source.file_name);
    }
    let _ = writeln!(err, "  {} · trace {id}", finish.as_str());
}
