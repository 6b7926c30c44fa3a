//! The contract over vectors in memory.

use super::{DIMENSIONS, a_crowd_hides_nobody, holds};
use crate::retrieve::MemoryVectors;

#[tokio::test]
async fn the_contract_holds() {
    let store = MemoryVectors::new(DIMENSIONS, 100_000);
    holds(&store).await;
}

#[tokio::test]
async fn t15_a_crowd_around_the_question_hides_nobody() {
    a_crowd_hides_nobody(&MemoryVectors::new(DIMENSIONS, 100_000), 20_000).await;
}
