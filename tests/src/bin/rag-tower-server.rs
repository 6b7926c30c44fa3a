//! The reference server, built where the end-to-end tests can find it.

fn main() -> std::process::ExitCode {
    rag_tower_owner::run()
}
