//! The example, run as its users run it.

use rag_tower_tests::example::{output, shown};

#[test]
fn what_is_new_wins_and_the_readme_shows_it() {
    let output = output(env!("CARGO_BIN_EXE_custom-stage"), &[]);
    assert_eq!(
        output,
        "as found: A season ticket is 90 euros. [1]\nnewest first: The season ticket is 120 euros. [1]\n"
    );
    assert_eq!(shown(include_str!("../README.md")), output);
}
