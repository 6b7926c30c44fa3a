//! The handlers, one file for each group of routes.

pub(crate) mod demo;
pub(crate) mod feedback;
pub(crate) mod health;
pub(crate) mod openapi;
pub(crate) mod operator;
pub(crate) mod owner;

use std::borrow::Cow;

/// How a moment is written in answers.
pub(crate) struct Moment;

impl schemars::JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}
