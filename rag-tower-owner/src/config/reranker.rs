//! The model that puts passages in order, when there is one.

use super::Secret;
use super::provider::{Provider, check_url};
use super::source::Values;

/// A server with a `/rerank` endpoint as Cohere, Jina and vLLM have it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reranker {
    /// Its address, without `/rerank`.
    pub base_url: String,
    /// Its key; servers at home often need none.
    pub api_key: Option<Secret>,
    /// The model.
    pub model: String,
}

/// The reranker. Without a key of its own it gets the key of a provider on the same server, and of no other: a key goes
/// to nobody but who gave it.
pub(super) fn from(values: &Values, providers: &[Provider], problems: &mut Vec<String>) -> Option<Reranker> {
    let (url, model) = (values.get("RERANK_URL"), values.get("RERANK_MODEL"));
    let (url, model) = match (url, model) {
        (Some(url), Some(model)) => (url, model),
        (Some(_), None) => {
            problems
                .push("RERANK_URL is set and RERANK_MODEL is not: name the model that reranks there".into());
            return None;
        }
        (None, None) if values.get("RERANK_API_KEY").is_none() => return None,
        (None, _) => {
            problems.push(
                "RERANK_MODEL or RERANK_API_KEY is set and RERANK_URL is not: say where the reranker is"
                    .into(),
            );
            return None;
        }
    };
    check_url("RERANK_URL", url, problems);
    let url = url.trim_end_matches('/');
    let base_url = url.strip_suffix("/rerank").unwrap_or(url).to_owned();
    let own = values.get("RERANK_API_KEY").map(Secret::new);
    let same_server = |provider: &&Provider| server(&provider.base_url) == server(&base_url);
    let shared = || providers.iter().find(same_server).and_then(|provider| provider.api_key.clone());
    Some(Reranker { api_key: own.or_else(shared), model: model.to_owned(), base_url })
}

/// Scheme, host and port of an address; none of what is no address.
fn server(url: &str) -> Option<(String, String)> {
    let uri = url.parse::<http::Uri>().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme.to_owned(), format!("{}:{port}", authority.host().to_lowercase())))
}
