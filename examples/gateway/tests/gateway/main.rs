//! The example, run as its users run it: a process of its own, real sockets, real Postgres, model servers that do as told.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

mod client;
mod endings;
mod harness;
mod limits;
mod metrics;
mod passing;
mod replies;
mod secrets;
