//! From a file, from JSON, and back.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TenantData;

/// The form in which a tenant's data is kept: two JSON objects, so that routes can change without touching fees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Everything but the routes.
    pub courses: Value,
    /// The routes, under `route`.
    pub routes: Value,
}

/// Why a tenant's data was refused. The message names the place, the key, and what was expected.
#[derive(Debug)]
pub struct TenantDataError {
    place: String,
    message: String,
    source: Option<std::io::Error>,
}

// === impl TenantData ===

impl TenantData {
    /// Reads the text of a `tenant.toml`. `place` names it in messages.
    ///
    /// # Errors
    /// [`TenantDataError`] for wrong TOML, an unknown key, a wrong type, or data that does not pass
    /// [`check`](Self::check).
    pub fn from_toml(text: &str, place: &str) -> Result<Self, TenantDataError> {
        let data: Self =
            toml::from_str(text).map_err(|error| TenantDataError::new(place, error.to_string()))?;
        data.check(place)?;
        Ok(data)
    }

    /// Reads a `tenant.toml`. This blocks: it is meant for start-up and for the command line.
    ///
    /// # Errors
    /// [`TenantDataError`] when the file cannot be read, and as [`from_toml`](Self::from_toml).
    pub fn from_file(path: &Path) -> Result<Self, TenantDataError> {
        let place = PathBuf::from(path).display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| TenantDataError {
            message: "cannot be read".into(),
            place: place.clone(),
            source: Some(source),
        })?;
        Self::from_toml(&text, &place)
    }

    /// Reads what [`to_settings`](Self::to_settings) made. Two empty objects are a tenant that has configured nothing.
    ///
    /// # Errors
    /// [`TenantDataError`] for an unknown key, a wrong type, or data that does not pass [`check`](Self::check).
    pub fn from_settings(settings: &Settings) -> Result<Self, TenantDataError> {
        const PLACE: &str = "the tenant's settings";
        let (Value::Object(courses), Value::Object(routes)) = (&settings.courses, &settings.routes) else {
            return Err(TenantDataError::new(PLACE, "expected two JSON objects, `courses` and `routes`"));
        };
        if courses.is_empty() && routes.is_empty() {
            return Ok(Self::default());
        }
        let mut all = courses.clone();
        for (key, value) in routes {
            if all.insert(key.clone(), value.clone()).is_some() {
                return Err(TenantDataError::new(
                    PLACE,
                    format!("`{key}` is in both `courses` and `routes`"),
                ));
            }
        }
        let data: Self = serde_json::from_value(Value::Object(all))
            .map_err(|error| TenantDataError::new(PLACE, error.to_string()))?;
        data.check(PLACE)?;
        Ok(data)
    }

    /// The form in which it is kept.
    ///
    /// # Errors
    /// [`TenantDataError`] when it cannot be written as JSON, which no data that was read can cause.
    pub fn to_settings(&self) -> Result<Settings, TenantDataError> {
        let value = serde_json::to_value(self)
            .map_err(|error| TenantDataError::new("the tenant's data", error.to_string()))?;
        let mut courses = if let Value::Object(all) = value { all } else { Map::new() };
        let mut routes = Map::new();
        routes.extend(courses.remove_entry("route"));
        Ok(Settings { courses: Value::Object(courses), routes: Value::Object(routes) })
    }
}

// === impl TenantDataError ===

impl TenantDataError {
    pub(super) fn new(place: &str, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), source: None }
    }
}

impl fmt::Display for TenantDataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for TenantDataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
