#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>redis</code></span>")]
//! What several processes share: rate limits, WebSocket tickets and one-time codes in one Redis (6.2 or newer) or Valkey.
//!
//! Each takes the place of what is kept in memory otherwise, behind the same port:
//!
//! | port | in memory | shared |
//! |---|---|---|
//! | [`RateLimitStore`](crate::quota::RateLimitStore) | [`MemoryRateLimits`](crate::quota::MemoryRateLimits) | [`RedisRateLimits`] |
//! | [`Tickets`](crate::http::Tickets) | [`MemoryTickets`](crate::http::MemoryTickets) | [`RedisTickets`] |
//! | `Codes`, with the feature `codes` | `MemoryCodes` | `RedisCodes` |
//!
//! ```no_run
//! use rag_tower::http::TicketService;
//! use rag_tower::quota::{Quota, RateLimitLayer};
//! use rag_tower::redis::{Redis, RedisOptions, RedisRateLimits, RedisTickets};
//!
//! # async fn run(url: &str) -> Result<(), rag_tower::redis::RedisError> {
//! let redis = Redis::connect(&RedisOptions::new(url)).await?; // redis://:password@host:6379, or rediss:// for TLS
//! let limits = RateLimitLayer::new(RedisRateLimits::new(&redis)).per_tenant(Quota::per_minute(600));
//! let tickets = TicketService::new(RedisTickets::new(&redis));
//! # drop((limits, tickets)); Ok(()) }
//! ```
//!
//! # What is kept
//! Each change is one script, so that what happens at the same time happens one after another, on the clock of Redis: those of the
//! processes need not agree. Each key begins with a prefix ([`RedisOptions::with_prefix`]), and each ends by itself.
//!
//! | key | holds | until |
//! |---|---|---|
//! | `PREFIX:rate:TENANT` and `PREFIX:rate:TENANT:HASH` | when the next ask would be due; `HASH` is of the credential's name | the allowance is whole again, within a minute |
//! | `PREFIX:ticket:HASH` | the headers of whoever got the ticket, encrypted with it; `HASH` is of the ticket | it is used, or [`TICKET_LIFETIME`](crate::http::TICKET_LIFETIME) |
//! | `PREFIX:tickets` | the names of the tickets that wait, to bound them | the same |
//! | `PREFIX:codes:TENANT:MAILBOX` | when codes were made, and the keyed hashes of those that wait, by purpose | a day after the last |
//! | `PREFIX:codes:TENANT` | the mailboxes of the tenant, to bound them | the same |
//!
//! A ticket's key holds no tenant, since whoever shows a ticket has not said whose it is: its 32 random bytes are in nobody else's.
//!
//! # Who can read or write in Redis
//! **Whoever reads** learns which tenants and how many credentials ask, and whose hashed name a guess fits (SHA-256, without a key); how
//! many tickets and codes wait, and for what purpose. They get no credential: a ticket's headers are sealed with ChaCha20-Poly1305
//! under a key made of the ticket (HKDF-SHA256), which Redis never sees. They get no code and no address: both are
//! keyed hashes, and the key is not there.
//!
//! **Whoever writes** gives themselves new allowances and more tries for a code (the
//! [`LoginThrottle`](crate::tenant::LoginThrottle) in front of it is not there), makes a used code or ticket that they know good
//! again, and throws away what others wait for. They make no ticket for a credential that they do not have, and no code.
//!
//! So give it a password or an ACL user, a network of its own, TLS where others share the network, and no other use. What is lost with
//! it is a minute of limits, tickets of half a minute, and codes that are asked for again: it needs no disk. A replica that takes over
//! may have missed the last moments: a ticket or a code of these could be used twice. Keys must not be evicted
//! (`maxmemory-policy noeviction`, the default), or limits and tries are forgotten when memory is short.
//!
//! # When it is away
//! Nothing is tried twice, and nothing waits for longer than [`RedisOptions::with_patience`]. After a call that got no answer, one a second
//! finds out whether Redis is back, and the others are refused at once. Rate limits: the ask runs. Tickets and codes:
//! [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable), and nobody is let in.
//!
//! **Cancellation.** A dropped future may have taken effect.

#[cfg(feature = "codes")]
mod codes;
mod connection;
mod error;
mod limits;
mod seal;
mod tickets;

#[cfg(feature = "codes")]
#[cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>codes</code></span>")]
pub use self::codes::RedisCodes;
pub use self::connection::{Redis, RedisOptions};
pub use self::error::RedisError;
pub use self::limits::RedisRateLimits;
pub use self::tickets::RedisTickets;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
