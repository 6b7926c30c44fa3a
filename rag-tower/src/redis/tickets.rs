//! Tickets that one process gives and another takes.

use std::fmt;
use std::sync::LazyLock;

use ::redis::Script;
use sha2::{Digest, Sha256};

use super::{Redis, seal};
use crate::error::{Error, ErrorKind, Stage};
use crate::http::ticket::{MAX_TICKETS, new_ticket};
use crate::http::{TICKET_LIFETIME, TicketHolder, Tickets};

static ISSUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/issue.lua")));
static REDEEM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/redeem_ticket.lua")));

/// WebSocket tickets in Redis, which knows them by their SHA-256 and cannot read whose they are. See the [module](super).
#[derive(Clone)]
pub struct RedisTickets(Redis);

// === impl RedisTickets ===

impl RedisTickets {
    /// Tickets in this Redis: at most 10,000 wait at once.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self(redis.clone())
    }

    /// The ticket's own key, and the one of all that wait.
    fn keys(&self, ticket: &str) -> [String; 2] {
        let hash = super::hex(&Sha256::digest(ticket.as_bytes()));
        [self.0.key("ticket", &[&hash]), self.0.key("tickets", &[])]
    }
}

impl Tickets for RedisTickets {
    async fn issue(&self, holder: TicketHolder) -> Result<String, Error> {
        let ticket = new_ticket()?;
        let mut issue = ISSUE.prepare_invoke();
        issue.key(&self.keys(&ticket)[..]).arg(seal::seal(&ticket, holder.headers())?);
        issue.arg(TICKET_LIFETIME.as_millis() as u64).arg(MAX_TICKETS);
        match self.0.run(&issue).await.map_err(|error| error.at(Stage::Http))? {
            true => Ok(ticket),
            false => Err(Error::new(ErrorKind::Overloaded, Stage::Http).with_retry_after(TICKET_LIFETIME)),
        }
    }

    async fn redeem(&self, ticket: &str) -> Result<Option<TicketHolder>, Error> {
        let mut redeem = REDEEM.prepare_invoke();
        redeem.key(&self.keys(ticket)[..]);
        let sealed: Option<Vec<u8>> = self.0.run(&redeem).await.map_err(|error| error.at(Stage::Http))?;
        // what does not open was put there by somebody else
        Ok(sealed.and_then(|sealed| seal::open(ticket, sealed)).map(TicketHolder::from_headers))
    }
}

impl fmt::Debug for RedisTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisTickets")
    }
}
