//! What must not compile against `rag-tower`.
//!
//! Each case in `cases/fail` fails for the one reason in its `.stderr`; its twin of the same name in `cases/pass` is the
//! nearest program that compiles, and shows that the case fails for that reason and no other. After a change of the
//! compiler's wording: `TRYBUILD=overwrite cargo test -p rag-tower-ui-tests`, then read the difference.
