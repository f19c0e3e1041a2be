//! `--set key=value`: overrides of a run file's keys.

use super::source::{RunFileError, Source};

impl Source {
    /// The text with overrides applied. The table is printed anew, so errors point into the text that the run would
    /// really read.
    pub(super) fn with_overrides(&self, overrides: &[String]) -> Result<Self, RunFileError> {
        let mut table: toml::Table = self.text.parse().map_err(|error| self.toml_error(&error))?;
        for text in overrides {
            let wrong = |message: String| self.plain_error(format!("--set {text}: {message}"));
            let (key, value) = text.split_once('=').ok_or_else(|| wrong("write key=value".into()))?;
            // A value that is no TOML is a string, so that paths need no quotes within the shell's.
            let value = format!("value = {value}")
                .parse::<toml::Table>()
                .ok()
                .and_then(|mut parsed| parsed.remove("value"))
                .unwrap_or_else(|| toml::Value::String(value.into()));
            set(&mut table, key, value).map_err(wrong)?;
        }
        let text = toml::to_string(&table).map_err(|error| self.plain_error(error.to_string()))?;
        Ok(Self { name: format!("{} with --set applied", self.name), text })
    }
}

/// Sets `a.b.c` in a table. A step into a list of tables is an entry's `name` or its position.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.into(), value);
        return Ok(());
    };
    match table.entry(first).or_insert_with(|| toml::Value::Table(toml::Table::new())) {
        toml::Value::Table(inner) => set(inner, rest, value),
        toml::Value::Array(entries) => {
            let (entry, rest) = rest.split_once('.').ok_or("name an entry and its key, such as plugin.NAME.weight")?;
            let has_name = |other: &toml::Value| other.get("name").and_then(toml::Value::as_str) == Some(entry);
            let place = entries.iter().position(has_name).or_else(|| entry.parse().ok());
            match place.and_then(|place| entries.get_mut(place)) {
                Some(toml::Value::Table(table)) => set(table, rest, value),
                _ => Err(format!("{first} has no entry \"{entry}\"")),
            }
        }
        _ => Err(format!("{first} is a single value and has no key {rest}")),
    }
}
