//! What answers asks is checked where it is made.

use rag_tower::check_ask_service;
use rag_tower::port::Generator;
use rag_tower::stage::Generate;

fn check<G: Generator>(model: G) {
    check_ask_service(Generate::new(model));
}

fn main() {}
