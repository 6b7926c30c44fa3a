//! The filter of a caller, or of a model.

use serde_json::Value;

use super::{Broken, broken, hold};
use crate::filter::{Condition, Filter, MAX_CONDITIONS, MAX_VALUES};

/// Checks what is read as a [`Filter`]: it keeps the limits that building one has, holds no field that is not a
/// condition's (a tenant above all), and reads the same when it is written again.
///
/// # Errors
/// The property that does not hold.
pub fn filter(data: &[u8]) -> Result<(), Broken> {
    let Ok(filter) = serde_json::from_slice::<Filter>(data) else { return Ok(()) };
    let conditions = filter.conditions();
    hold(conditions.len() <= MAX_CONDITIONS, || format!("{} conditions", conditions.len()))?;
    let mut built = Filter::default();
    for condition in conditions {
        let values = match condition {
            Condition::Document(ids) => ids.len(),
            Condition::Label { any_of, .. } => any_of.len(),
        };
        hold((1..=MAX_VALUES).contains(&values), || format!("a condition of {values} values"))?;
        built = built.and(condition.clone()).map_err(|error| broken(format!("cannot be built: {error}")))?;
    }
    hold(built == filter, || format!("built it is {built:?}"))?;

    let written = serde_json::to_vec(&filter).map_err(|error| broken(error.to_string()))?;
    let again = serde_json::from_slice::<Filter>(&written).ok();
    hold(again.as_ref() == Some(&filter), || format!("read again it is {again:?}"))?;
    let (said, meant) = (fields(data)?, fields(&written)?);
    hold(said <= meant, || format!("of {said} fields {meant} mean something"))
}

/// How many fields all objects have together.
fn fields(json: &[u8]) -> Result<usize, Broken> {
    fn count(value: &Value) -> usize {
        match value {
            Value::Array(all) => all.iter().map(count).sum(),
            Value::Object(all) => all.len() + all.values().map(count).sum::<usize>(),
            _ => 0,
        }
    }
    serde_json::from_slice(json).map(|value| count(&value)).map_err(|error| broken(error.to_string()))
}
