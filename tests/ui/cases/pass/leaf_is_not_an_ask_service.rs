//! The twin of the case that fails: what answers asks is checked where it is made.

use rag_tower::port::Generator;
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{Generate, KeywordLayer, PromptLayer};
use rag_tower::{Pipeline, check_ask_service};

fn check<R: Retrieve<()>, G: Generator>(source: R, model: G) {
    check_ask_service(
        Pipeline::new()
            .keyword(KeywordLayer::new(source))
            .prompt(PromptLayer::default())
            .service(Generate::new(model)),
    );
}

fn main() {}
