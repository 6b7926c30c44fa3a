//! The pages in a real browser, on a real server.

mod accessible;
mod hostile;
mod logs;
mod overview;
mod pages;
mod screens;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
