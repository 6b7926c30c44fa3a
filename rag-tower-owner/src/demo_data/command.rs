//! `demo-data`: fill, look or remove from the command line, whether or not a server runs.

use std::time::Duration;

use clap::Subcommand;
use rag_tower::postgres::PgRollups;

use super::record::{Refusal, State, What, status};
use super::{begin_now, carry_out};
use crate::beside::Beside;
use crate::config::Config;
use crate::failure::Failure;
use crate::platform::refused;
use crate::progress::Step;
use crate::rollups::fold_rest;

/// How long folding may take at the end; a server goes on with what is left.
const FOLD: Duration = Duration::from_mins(1);

/// What is done with demo data.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Fill the demo tenants `language-centre` and `docs` with thirty days of made-up traffic
    Fill,
    /// Remove exactly what was filled, with its figures
    Remove,
    /// Say what there is
    Status,
}

/// Does it, and says what was done.
pub(crate) async fn command(config: &Config, what: Command) -> Result<String, Failure> {
    if matches!(what, Command::Fill) && !config.demo() {
        return Err(Failure::usage(
            "demo data is for the demo tenants, and these are there in demo mode only",
        )
        .mend("Unset DATABASE_URL and let RAG_TOWER_ADDR be of this machine, such as 127.0.0.1:8080."));
    }
    let Some(beside) = Beside::open(config).await? else {
        return Err(
            Failure::new("there is no database yet").mend("Start the server once: `rag-tower-owner`.")
        );
    };
    let done = match what {
        Command::Fill => change(&beside, What::Fill).await,
        Command::Remove => change(&beside, What::Remove).await,
        Command::Status => look(&beside).await,
    };
    beside.close().await?;
    done
}

async fn change(beside: &Beside, what: What) -> Result<String, Failure> {
    let work = begin_now(&beside.database, what).await.map_err(refused)?;
    let work = work.map_err(|refusal| {
        let failure = Failure::usage(refusal.said());
        match refusal {
            Refusal::There => failure.mend("`rag-tower-owner demo-data remove` takes it away."),
            Refusal::None => failure.mend("`rag-tower-owner demo-data fill` makes some."),
            Refusal::Busy => failure,
        }
    })?;
    let (doing, days) = match what {
        What::Fill => ("Filling language-centre and docs", work.days),
        What::Remove => ("Removing the demo data", work.days),
    };
    let step = Step::bar(doing, work.rows.unsigned_abs());
    let mut asks = 0;
    let done = carry_out(&beside.database, &work, |more| {
        asks += more;
        step.advance_by(more);
    });
    let done = done.await;
    if done.is_ok() {
        fold_rest(&PgRollups::new(&beside.database), FOLD).await;
    }
    step.done();
    done?;
    Ok(match what {
        What::Fill => format!(
            "{asks} asks of {days} days are in the tenants language-centre and docs. \
             `rag-tower-owner demo-data remove` takes them away.\n"
        ),
        What::Remove => format!("{asks} asks are removed, with their feedback, tickets and figures.\n"),
    })
}

async fn look(beside: &Beside) -> Result<String, Failure> {
    let status = status(&beside.database).await.map_err(refused)?;
    let (rows, done) = (status.rows, status.done);
    let stopped = if status.stopped { "; it broke off, and may be gone on with" } else { "" };
    Ok(match status.state {
        State::None => "There is no demo data.\n".to_owned(),
        State::There => format!("There are {rows} asks of demo data.\n"),
        State::Filling => format!("{done} of {rows} asks are filled{stopped}.\n"),
        State::Removing => format!("{done} of {rows} asks are removed{stopped}.\n"),
    })
}
