//! What servers share, in a real Redis: each port's promises, held by the store in memory and the one in Redis alike; what only
//! several processes can show; a Redis that goes away; and two servers.

mod away;
mod codes;
mod limits;
mod servers;
mod tickets;

use std::time::Duration;

use rag_tower_tests::redis::RedisServer;

/// Lets time pass: for what is in memory on the paused clock, for what is in Redis by making it older.
enum Clock<'a> {
    Paused,
    Stored(&'a RedisServer),
}

impl Clock<'_> {
    async fn pass(&self, time: Duration) {
        match self {
            Self::Paused => tokio::time::advance(time).await,
            Self::Stored(redis) => redis.pass(time).await,
        }
    }
}
