//! Changes of single values in a text of JSON, whose other bytes stay as they came.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Returns the text of each value of an object by its key; empty for another text.
pub(crate) fn members(text: &str) -> BTreeMap<String, &str> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    members.into_iter().map(|(key, value)| (key, value.get())).collect()
}

/// Returns the text with other values in the place of some, which are parts of it.
pub(crate) fn with_values(text: &str, changes: &[(&str, &str)]) -> String {
    let start = |value: &str| value.as_ptr() as usize - text.as_ptr() as usize;
    let mut places: Vec<(usize, &str, &str)> =
        changes.iter().map(|(value, other)| (start(value), *value, *other)).collect();
    places.sort_unstable();
    let mut whole = text.to_owned();
    for (start, value, other) in places.into_iter().rev() {
        whole.replace_range(start..start + value.len(), other);
    }
    whole
}
