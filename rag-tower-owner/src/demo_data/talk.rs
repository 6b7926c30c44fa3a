//! What is asked and answered: the file `demo/traffic.toml` in, tenants with their topics out.

use rag_tower::tenant::TenantId;
use serde::Deserialize;

/// The file.
const TALK: &str = include_str!("../../demo/traffic.toml");

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Talk {
    #[serde(rename = "tenant")]
    pub(super) tenants: Vec<Speaker>,
}

/// One tenant's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Speaker {
    pub(super) slug: String,
    /// How many visits it has beside the others.
    pub(super) share: u32,
    /// The route of what is searched for.
    pub(super) route: String,
    /// What is out of its domain.
    pub(super) rest: Vec<String>,
    /// What its documents do not say.
    pub(super) unknown: Vec<String>,
    /// What goes with a thumb up.
    pub(super) praise: Vec<String>,
    /// What goes with a thumb down.
    pub(super) complaint: Vec<String>,
    #[serde(rename = "topic")]
    pub(super) topics: Vec<Topic>,
}

/// Something that people ask about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topic {
    /// The route, when it is not the tenant's search.
    pub(super) route: Option<String>,
    /// The document that says it.
    pub(super) file: Option<String>,
    #[serde(default)]
    pub(super) title: String,
    /// How often it is asked beside the others.
    pub(super) weight: u32,
    pub(super) questions: Vec<String>,
    pub(super) answer: String,
}

// === impl Talk ===

impl Talk {
    /// Reads the file that is in the program.
    pub(super) fn read() -> Result<Self, toml::de::Error> {
        toml::from_str(TALK)
    }
}

// === impl Speaker ===

impl Speaker {
    pub(super) fn id(&self) -> TenantId {
        TenantId::named(&self.slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_that_is_named_is_a_demo_document() {
        let talk = Talk::read().unwrap();
        assert_eq!(talk.tenants.len(), 2);
        let demo = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/demo"));
        for speaker in &talk.tenants {
            for topic in &speaker.topics {
                assert!(!topic.questions.is_empty() && topic.weight > 0);
                let Some(file) = &topic.file else { continue };
                let folder = demo.join(&speaker.slug);
                let there = [folder.join(file), folder.join("guide").join(file)];
                assert!(there.iter().any(|path| path.exists()), "{file} of {}", speaker.slug);
            }
        }
    }
}
