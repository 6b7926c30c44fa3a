//! The reference server.

fn main() -> std::process::ExitCode {
    rag_tower_owner::run()
}
