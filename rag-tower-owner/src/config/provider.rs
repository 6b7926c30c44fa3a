//! Model servers in the order in which they are tried.

use serde::Deserialize;

use super::Secret;
use super::source::Values;

/// The address of OpenAI's own API.
pub(super) const OPENAI: &str = "https://api.openai.com/v1";
/// The model when a key is given and no model is named.
pub(super) const DEFAULT_MODEL: &str = "gpt-4o-mini";

/// One model server that speaks the OpenAI API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provider {
    /// Its name in trace rows; none takes the host of the address.
    pub name: Option<String>,
    /// Its address, up to and with `/v1`.
    pub base_url: String,
    /// Its key; servers at home often need none.
    pub api_key: Option<Secret>,
    /// The model.
    pub model: String,
}

/// A `[[provider]]` table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    base_url: Option<String>,
    api_key: Option<String>,
    /// The environment variable that holds the key.
    api_key_env: Option<String>,
    model: String,
}

/// The providers: the environment's first, then the file's, in its order.
pub(super) fn list(
    values: &Values,
    tables: &[toml::Value],
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Vec<Provider> {
    let mut providers = Vec::new();
    providers.extend(from_settings(values, problems));
    for (n, table) in tables.iter().enumerate() {
        let place = format!("[[provider]] number {}", n + 1);
        match table.clone().try_into::<Table>() {
            Ok(table) => providers.extend(from_table(&place, table, environment, problems)),
            Err(error) => problems.push(format!(
                "{place}: {}; expected `model`, and optionally `name`, `base_url`, `api_key` or `api_key_env`",
                error.message()
            )),
        }
    }
    providers
}

fn from_settings(values: &Values, problems: &mut Vec<String>) -> Option<Provider> {
    let (key, base, model) =
        (values.get("OPENAI_API_KEY"), values.get("OPENAI_BASE_URL"), values.get("OPENAI_MODEL"));
    if key.is_none() && base.is_none() && model.is_none() {
        return None;
    }
    if let Some(base) = base {
        check_url("OPENAI_BASE_URL", base, problems);
    }
    let model = match (model, base) {
        (Some(model), _) => model,
        (None, None) => DEFAULT_MODEL,
        // only an embedding model is wanted there
        (None, Some(_)) if values.get("EMBEDDING_MODEL").is_some() => return None,
        (None, Some(_)) => {
            problems.push(
                "OPENAI_BASE_URL is set and OPENAI_MODEL is not: name the model that answers there".into(),
            );
            return None;
        }
    };
    Some(Provider {
        name: None,
        base_url: base.unwrap_or(OPENAI).trim_end_matches('/').to_owned(),
        api_key: key.map(Secret::new),
        model: model.to_owned(),
    })
}

fn from_table(
    place: &str,
    table: Table,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Option<Provider> {
    let base_url = table.base_url.unwrap_or_else(|| OPENAI.to_owned());
    check_url(&format!("{place}: base_url"), &base_url, problems);
    let api_key = match (table.api_key, table.api_key_env) {
        (Some(_), Some(_)) => {
            problems.push(format!("{place}: set `api_key` or `api_key_env`, not both"));
            return None;
        }
        (Some(key), None) => Some(key),
        (None, Some(name)) => {
            let key = environment(&name);
            if key.is_none() {
                problems.push(format!("{place}: api_key_env names {name}, which is not set: set it"));
            }
            key
        }
        (None, None) => None,
    };
    Some(Provider {
        name: table.name,
        base_url: base_url.trim_end_matches('/').to_owned(),
        api_key: api_key.map(Secret::new),
        model: table.model,
    })
}

/// An http(s) address with a host.
pub(super) fn check_url(what: &str, url: &str, problems: &mut Vec<String>) {
    let fits = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !fits {
        problems.push(format!("{what} is not an address: expected something like http://127.0.0.1:11434/v1"));
    }
}
