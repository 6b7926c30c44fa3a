//! The contract over vectors in memory.

use super::{DIMENSIONS, a_crowd_hides_nobody, holds};
use crate::retrieve::MemoryVectors;

#[tokio::test]
async fn the_contract_holds() {
    let store = MemoryVectors::new(DIMENSIONS, 100_000);
    holds(&store).await;
    a_crowd_hides_nobody(&store, 2_000).await;
}
