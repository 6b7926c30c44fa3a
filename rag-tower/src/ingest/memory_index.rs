//! A few documents in, searchable at once, in memory.

use std::sync::Arc;

use bytes::Bytes;
use tower::ServiceExt;

use super::{Ingest, Ingested, Ingestor, MemoryDocuments};
use crate::embed::LocalEmbedder;
use crate::error::Error;
use crate::passage::DocumentId;
use crate::retrieve::{FusedSource, MemoryVectors};
use crate::tenant::TenantScope;

/// [`MemoryDocuments`], [`MemoryVectors`] and a [`LocalEmbedder`], wired as they belong: for tests, examples and first
/// steps. Nothing is downloaded, nothing outlives the process, and tenants are as far apart as in any other store. Clones
/// share what they keep.
///
/// ```
/// use rag_tower::generate::Extractive;
/// use rag_tower::ingest::MemoryIndex;
/// use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
/// use rag_tower::{Ask, Error, Pipeline, Question, TenantScope};
/// use tower::ServiceExt;
///
/// async fn first_answer(scope: TenantScope) -> Result<String, Error> {
///     let index = MemoryIndex::new(1_000);
///     index.put(&scope, "hours.md", "We open at 8 and close at 21.").await?;
///     let stack = Pipeline::new()
///         .embed(EmbedLayer::new(index.embedder()))
///         .retrieve(RetrieveLayer::new(index.source()))
///         .prompt(PromptLayer::default())
///         .boxed(Generate::new(Extractive::new()));
///     stack.oneshot(Ask::new(scope, Question::parse("When do you open?")?)).await?.collect_text().await
/// }
/// # let scope = rag_tower::test_util::scope("acme");
/// # let said = tokio::runtime::Runtime::new().unwrap().block_on(first_answer(scope)).unwrap();
/// # assert_eq!(said, "We open at 8 and close at 21. [1]");
/// ```
#[derive(Clone, Debug)]
pub struct MemoryIndex {
    documents: Arc<MemoryDocuments>,
    vectors: Arc<MemoryVectors>,
}

// === impl MemoryIndex ===

impl MemoryIndex {
    /// Room for `most` chunks of all tenants together; a page of text is about two.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let dimensions = LocalEmbedder::new().dimensions();
        Self {
            documents: Arc::new(MemoryDocuments::new(most)),
            vectors: Arc::new(MemoryVectors::new(dimensions, most)),
        }
    }

    /// Takes a file of the scope's tenant in; its name says what it is (`.md`, `.txt`, `.jsonl`, with the feature `ingest`
    /// `.html`). The same name again replaces it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a file that cannot be read, and
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable) when there is no room.
    pub async fn put(
        &self,
        scope: &TenantScope,
        file_name: impl Into<Arc<str>>,
        bytes: impl Into<Bytes>,
    ) -> Result<Ingested, Error> {
        self.ingestor().oneshot(Ingest::new(scope.clone(), file_name, bytes)).await
    }

    /// Removes a document of the scope's tenant; true when there was one.
    ///
    /// # Errors
    /// None at present: memory is always there.
    pub async fn remove(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, Error> {
        self.ingestor().remove(scope, document).await
    }

    /// The embedder that the documents were embedded with, for the questions.
    #[must_use]
    pub fn embedder(&self) -> LocalEmbedder {
        LocalEmbedder::new()
    }

    /// The source that searches the documents, by meaning and by words.
    #[must_use]
    pub fn source(&self) -> FusedSource<MemoryVectors, MemoryDocuments, MemoryDocuments> {
        let documents = Arc::clone(&self.documents);
        FusedSource::new(Arc::clone(&self.vectors), Arc::clone(&documents), documents)
    }

    fn ingestor(&self) -> Ingestor<LocalEmbedder, MemoryDocuments, MemoryVectors> {
        Ingestor::new(LocalEmbedder::new(), Arc::clone(&self.documents), Arc::clone(&self.vectors))
    }
}

#[cfg(test)]
mod tests {
    use tower_layer::Layer;

    use super::*;
    use crate::retrieve::{EmbedQueryLayer, Query, fetch};
    use crate::stage::testing;
    use crate::{Ask, ErrorKind};

    async fn found(index: &MemoryIndex, scope: &TenantScope) -> Vec<String> {
        let source = EmbedQueryLayer::new(index.embedder()).layer(index.source());
        let ask = Ask::new(scope.clone(), testing::question("When do you open?"));
        let passages = fetch(source, Query::of(&ask, 10)).await.unwrap();
        passages.iter().map(|passage| passage.text.to_string()).collect()
    }

    #[tokio::test]
    async fn t14_each_tenant_finds_its_own_documents_and_no_others() {
        let index = MemoryIndex::new(10);
        let [acme, globex] = ["acme", "globex"].map(crate::test_util::scope);
        let put = index.put(&acme, "hours.md", "We open at 8.").await.unwrap();
        index.put(&globex, "hours.md", "They open at 9.").await.unwrap();
        assert_eq!(found(&index, &acme).await, ["We open at 8."]);
        assert_eq!(found(&index, &globex).await, ["They open at 9."]);
        assert!(found(&index, &crate::test_util::scope("nobody")).await.is_empty());

        let document = put.documents[0];
        assert!(!index.remove(&globex, document).await.unwrap());
        assert!(index.clone().remove(&acme, document).await.unwrap());
        assert!(found(&index, &acme).await.is_empty());
        assert_eq!(found(&index, &globex).await, ["They open at 9."]);
    }

    #[tokio::test]
    async fn it_is_bounded_and_says_what_it_cannot_read() {
        let index = MemoryIndex::new(1);
        let scope = crate::test_util::scope("acme");
        index.put(&scope, "a.md", "one").await.unwrap();
        let full = index.put(&scope, "b.md", "two").await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StoreUnavailable);
        let unknown = index.put(&scope, "a.exe", "one").await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
    }
}
