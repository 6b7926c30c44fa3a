//! `rollups rebuild`: days in, their rollups made again from their rows out.

use clap::Subcommand;
use rag_tower::postgres::{DatabaseError, PgRollups};
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::beside::Beside;
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Step;

/// What is done to rollups.
#[derive(Debug, Subcommand)]
pub(crate) enum Mend {
    /// Make the rollups of days again from the rows of asks; a server may run meanwhile
    Rebuild {
        /// The first day, in UTC, such as 2026-01-31
        #[arg(long, value_name = "DATE", value_parser = date)]
        since: Date,
        /// The last day, in UTC [default: today]
        #[arg(long, value_name = "DATE", value_parser = date)]
        until: Option<Date>,
    },
}

/// Does it, and says what was done.
pub(crate) async fn rollups(config: &Config, what: &Mend) -> Result<String, Failure> {
    let Mend::Rebuild { since, until } = what;
    let (since, until) = (*since, until.unwrap_or_else(|| OffsetDateTime::now_utc().date()));
    if since > until {
        return Err(Failure::usage(format!("--since {since} is after --until {until}")));
    }
    let Some(beside) = Beside::open(config).await? else {
        return Err(Failure::new("there is no database yet, so there are no rollups"));
    };
    let step = Step::spinner("Adding up the asks of these days");
    let done = PgRollups::new(&beside.database).rebuild(since, until).await;
    step.done();
    beside.close().await?;
    let asks = done.map_err(|error| match error {
        DatabaseError::RowsDropped(_) => {
            Failure::usage(error.to_string()).mend("Choose days whose rows are still there.")
        }
        _ => Failure::because("the rollups cannot be made again", &error),
    })?;
    Ok(format!("The rollups of {since} to {until} (UTC) are made again from {asks} asks.\n"))
}

fn date(text: &str) -> Result<Date, &'static str> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .ok()
        .filter(|date| (1970..=9998).contains(&date.year()))
        .ok_or("expected a date such as 2026-01-31")
}
