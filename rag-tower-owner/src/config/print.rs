//! The configuration as TOML, each value with its origin, secrets hidden.

use std::fmt::Write;

use super::keys::{Kind, SETTINGS};
use super::provider::Provider;
use super::source::{Origin, Values};

const HIDDEN: &str = "(hidden)";

pub(super) fn toml(values: &Values, providers: &[Provider]) -> String {
    let mut out = String::new();
    for key in &SETTINGS {
        let name = key.name.to_ascii_lowercase();
        let _ = match values.value(key.name) {
            None => writeln!(out, "# {name} is not set: {}", key.help),
            Some(value) => {
                let text = match key.kind {
                    Kind::Number => value.text.clone(),
                    Kind::Text => quoted(&value.text),
                    Kind::Url => quoted(&without_password(&value.text)),
                    Kind::Secret => quoted(HIDDEN),
                };
                // a line that can be read again must not set a secret to "(hidden)"
                let comment = if key.kind == Kind::Secret { "# " } else { "" };
                writeln!(out, "{comment}{name} = {text}  # {}", origin(value.origin))
            }
        };
    }
    for provider in providers {
        let _ = writeln!(out, "\n# model server, in the order of trying");
        let _ = writeln!(out, "# name = {}", quoted(provider.name.as_deref().unwrap_or("(the host's)")));
        let _ = writeln!(out, "# base_url = {}", quoted(&without_password(&provider.base_url)));
        let _ = writeln!(out, "# model = {}", quoted(&provider.model));
        let _ = writeln!(out, "# api_key = {}", quoted(if provider.api_key.is_some() { HIDDEN } else { "" }));
    }
    out
}

/// A setting as the owner may see it.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value; none when it is not set. A secret is hidden, and so is a password in an address.
    pub value: Option<String>,
    /// Where it is from: the defaults, the file or the environment; none when it is not set.
    pub source: Option<&'static str>,
    /// What it is, in one line.
    pub about: &'static str,
}

/// Every setting, in the order in which they are explained.
pub(super) fn settings(values: &Values) -> Vec<Setting> {
    let setting = |key: &super::keys::Key| {
        let value = values.value(key.name);
        let text = value.map(|value| match key.kind {
            Kind::Number | Kind::Text => value.text.clone(),
            Kind::Url => without_password(&value.text),
            Kind::Secret => HIDDEN.to_owned(),
        });
        let source = value.map(|value| origin(value.origin));
        Setting { name: key.name, value: text, source, about: key.help }
    };
    SETTINGS.iter().map(setting).collect()
}

fn origin(origin: Origin) -> &'static str {
    origin.as_str()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// An address with its user's password, and any query, replaced.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return HIDDEN.into() };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let authority = match authority.rsplit_once('@') {
        None => authority.to_owned(),
        Some((user, host)) => format!("{}:***@{host}", user.split(':').next().unwrap_or("")),
    };
    format!("{scheme}://{authority}{path}{query}")
}
