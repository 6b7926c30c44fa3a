//! The reference server, built where the end-to-end tests can find it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rag_tower_owner::run()
}
