//! A table of token vectors in a local directory in, texts' vectors out.

mod tensors;
mod wordpiece;

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tower_service::Service;

use self::wordpiece::WordPiece;
use super::each::each;
use crate::error::{Error, Stage};
use crate::port::{EmbedRequest, Embedding};
use crate::stage::ResponseFuture;

/// An [`Embedder`](crate::port::Embedder) from static token embeddings, in process: `model.safetensors`,
/// `tokenizer.json` and `config.json` as model2vec lays them out (for instance `potion-base-8M`).
///
/// A text's vector is the mean of its tokens' vectors, of length 1 when the model's `config.json` says so; unknown words
/// count for nothing, and a text of only such words has a vector of zeros. It knows what the model was distilled from:
/// synonyms, but no order of words. Nothing is ever downloaded.
///
/// The tokenizer is a WordPiece with BERT's normaliser and splitting; another kind is refused. Two things differ from
/// the original in rare scripts: spacing marks are dropped with the others, and punctuation is that of common scripts.
///
/// - **Readiness:** always ready.
/// - **Runtime:** above 16 KiB of text the work is done on the blocking pool.
/// - **Cancellation:** dropping the future leaves a batch on the blocking pool to end by itself; its result is dropped.
/// - **Panics:** never of its own.
#[derive(Clone)]
pub struct StaticEmbedder {
    model: Arc<Model>,
}

struct Model {
    name: Arc<str>,
    pieces: WordPiece,
    table: Vec<f32>,
    dimensions: usize,
    normalize: bool,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    normalize: bool,
}

/// Tokens of a text that are looked at.
const LONGEST: usize = 512;

// === impl StaticEmbedder ===

impl StaticEmbedder {
    /// Reads a model from a directory. This blocks while it reads, for some tenths of a second.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the file, when one is missing or is not what it should
    /// be.
    pub fn load(directory: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read(&path).map_err(|error| {
                let said = format!(
                    "{} cannot be read: a model directory holds model.safetensors, tokenizer.json and config.json",
                    path.display()
                );
                Error::invalid(Stage::Embed, said).with_source(error)
            })
        };
        let refused = |name: &str, why: &str| {
            Error::invalid(Stage::Embed, format!("{}: {why}", directory.join(name).display()))
        };
        let config: Config = serde_json::from_slice(&read("config.json")?)
            .map_err(|_| refused("config.json", "expected the settings of a model as JSON"))?;
        let pieces =
            WordPiece::parse(&read("tokenizer.json")?).map_err(|why| refused("tokenizer.json", &why))?;
        let bytes = read("model.safetensors")?;
        let table =
            tensors::matrix(&bytes, "embeddings").map_err(|why| refused("model.safetensors", &why))?;
        if table.rows < pieces.len() || table.columns == 0 {
            let why = format!("{} vectors for {} tokens", table.rows, pieces.len());
            return Err(refused("model.safetensors", &why));
        }
        let digest = Sha256::digest(&bytes);
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let model = Model {
            name: format!("static-{hex}").into(),
            pieces,
            table: table.values,
            dimensions: table.columns,
            normalize: config.normalize,
        };
        Ok(Self { model: Arc::new(model) })
    }

    /// What an index calls the vectors of this model: the beginning of its file's SHA-256.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.model.name
    }

    /// How many numbers a vector has.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.model.dimensions
    }

    /// The vector of one text.
    #[must_use]
    pub fn embed(&self, text: &str) -> Embedding {
        let Model { pieces, table, dimensions, normalize, .. } = &*self.model;
        let mut vector = vec![0.0_f32; *dimensions];
        let tokens = pieces.tokens(text, LONGEST);
        for token in &tokens {
            let row = table.iter().skip(token * dimensions);
            vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let mut by = tokens.len().max(1) as f32;
        if *normalize {
            by = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        }
        if by > 0.0 {
            vector.iter_mut().for_each(|x| *x /= by);
        }
        Embedding::new(vector)
    }
}

impl Service<EmbedRequest> for StaticEmbedder {
    type Response = Vec<Embedding>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Embedding>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: EmbedRequest) -> Self::Future {
        let this = self.clone();
        each(request, move |text| this.embed(text))
    }
}

impl fmt::Debug for StaticEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticEmbedder")
            .field("name", &self.model.name)
            .field("dimensions", &self.model.dimensions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;
    use crate::ErrorKind;
    use crate::port::EmbedKind;
    use crate::stage::testing;
    use crate::trace::TraceHandle;

    /// A model of four tokens and two dimensions.
    fn model(directory: &Path, normalize: bool) {
        let vocabulary = json!({"[UNK]": 0, "fee": 1, "##s": 2, "pool": 3});
        let tokenizer = json!({
            "normalizer": {"type": "BertNormalizer", "lowercase": true, "strip_accents": null},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": vocabulary},
        });
        fs::write(directory.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        fs::write(directory.join("config.json"), json!({"normalize": normalize}).to_string()).unwrap();
        let rows: [f32; 8] = [9.0, 9.0, 1.0, 0.0, 0.0, 1.0, -3.0, 4.0];
        fs::write(directory.join("model.safetensors"), tensors::file("F32", [4, 2], &rows)).unwrap();
    }

    #[test]
    fn a_vector_is_the_mean_of_the_known_tokens() {
        let dir = tempfile::tempdir().unwrap();
        model(dir.path(), false);
        let embedder = StaticEmbedder::load(dir.path()).unwrap();
        assert_eq!(embedder.dimensions(), 2);
        for (text, vector) in [
            ("fee", [1.0, 0.0]),
            ("Fees", [0.5, 0.5]),
            ("féés, unknown pool!", [-2.0 / 3.0, 5.0 / 3.0]),
            ("…", [0.0, 0.0]),
        ] {
            assert_eq!(embedder.embed(text).as_slice(), vector, "{text}");
        }
        model(dir.path(), true);
        let embedder = StaticEmbedder::load(dir.path()).unwrap();
        assert_eq!(embedder.embed("pool").as_slice(), [-0.6, 0.8]);
        assert!(embedder.name().starts_with("static-"));
    }

    #[tokio::test]
    async fn a_large_batch_gives_what_a_small_one_gives() {
        let dir = tempfile::tempdir().unwrap();
        model(dir.path(), true);
        let embedder = StaticEmbedder::load(dir.path()).unwrap();
        let ask = |texts: usize| EmbedRequest {
            scope: testing::scope("a"),
            trace: TraceHandle::new(),
            kind: EmbedKind::Document,
            texts: vec!["fees of the pool".into(); texts],
        };
        let all = embedder.clone().oneshot(ask(2_000)).await.unwrap();
        assert_eq!(all[..2], embedder.oneshot(ask(2)).await.unwrap()[..]);
    }

    #[test]
    fn what_is_missing_or_another_kind_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |dir: &Path| StaticEmbedder::load(dir).unwrap_err();
        assert_eq!(refused(dir.path()).kind(), ErrorKind::InvalidInput);
        assert!(refused(dir.path()).to_string().contains("config.json"));
        model(dir.path(), true);
        fs::write(dir.path().join("model.safetensors"), tensors::file("F32", [1, 2], &[1.0, 2.0])).unwrap();
        assert!(refused(dir.path()).to_string().contains("1 vectors for 4 tokens"));
        fs::write(dir.path().join("model.safetensors"), [1, 2, 3]).unwrap();
        assert!(refused(dir.path()).to_string().contains("model.safetensors"));
        fs::write(dir.path().join("tokenizer.json"), r#"{"model": {"type": "Unigram", "vocab": []}}"#)
            .unwrap();
        assert!(refused(dir.path()).to_string().contains("WordPiece"), "{}", refused(dir.path()));
    }
}
