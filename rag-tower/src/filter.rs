//! What a caller, or a model, may narrow retrieval by. It has no tenant: it can only make less visible.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Stage};
use crate::passage::DocumentId;

/// A conjunction of conditions; empty means "everything the scope admits". What is deserialised keeps the limits of
/// [`and`](Self::and).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Condition>")]
pub struct Filter(Vec<Condition>);

/// One condition of a [`Filter`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Condition {
    /// The passage is of one of these documents.
    Document(Vec<DocumentId>),
    /// A label of the document has one of these values. Stores keep labels under a prefix of their own, so that no
    /// label can stand for a tenant or a branch.
    Label {
        /// The label's name.
        name: String,
        /// The accepted values.
        any_of: Vec<String>,
    },
}

/// The most conditions, and the most values in one condition.
pub const MAX_CONDITIONS: usize = 16;
/// The most values one condition accepts.
pub const MAX_VALUES: usize = 256;

// === impl Filter ===

impl Filter {
    /// This filter and one more condition.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) above [`MAX_CONDITIONS`] conditions or [`MAX_VALUES`]
    /// values, and for a condition without values.
    pub fn and(mut self, condition: Condition) -> Result<Self, Error> {
        let values = match &condition {
            Condition::Document(ids) => ids.len(),
            Condition::Label { any_of, .. } => any_of.len(),
        };
        if values == 0 || values > MAX_VALUES || self.0.len() == MAX_CONDITIONS {
            return Err(Error::invalid(
                Stage::Http,
                format!(
                    "a filter takes at most {MAX_CONDITIONS} conditions of 1 to {MAX_VALUES} values each"
                ),
            ));
        }
        self.0.push(condition);
        Ok(self)
    }

    /// True when there is no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions; all must hold.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }
}

impl TryFrom<Vec<Condition>> for Filter {
    type Error = Error;

    fn try_from(conditions: Vec<Condition>) -> Result<Self, Error> {
        conditions.into_iter().try_fold(Self::default(), Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_keeps_the_limits_of_what_is_built() {
        let read = |json: &str| serde_json::from_str::<Filter>(json);
        assert!(read("[]").unwrap().is_empty());
        let label = r#"{"label":{"name":"level","any_of":["B2"]}}"#;
        let all = |n: usize| format!("[{}]", vec![label; n].join(","));
        assert_eq!(read(&all(MAX_CONDITIONS)).unwrap().conditions().len(), MAX_CONDITIONS);
        let values = format!(r#"[{{"label":{{"name":"level","any_of":{:?}}}}}]"#, vec!["B2"; MAX_VALUES + 1]);
        for wrong in [
            &all(MAX_CONDITIONS + 1),
            &values,
            r#"[{"document":[]}]"#,
            r#"[{"label":{"name":"level","any_of":[]}}]"#,
            r#"[{"label":{"name":"level","any_of":["B2"],"tenant_id":"rival"}}]"#,
            r#"[{"tenant":"rival"}]"#,
            r#"{"should":[]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
