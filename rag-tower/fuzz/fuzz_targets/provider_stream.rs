#![no_main]

use rag_tower::test_util::fuzz;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(broken) = fuzz::provider_stream(data) {
        panic!("{broken}");
    }
});
