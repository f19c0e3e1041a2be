//! `--set key=value`: overrides of a run file's keys.

use alft_text::Foreign;

use super::source::{RunFileError, Source};

/// Names that the key of an override may have. The run file's own keys have a few, and tables are walked recursively.
const MAX_NAMES: usize = 32;

impl Source {
    /// The text with overrides applied. The table is printed anew, so errors point into the text that the run would
    /// really read.
    pub(super) fn with_overrides(&self, overrides: &[String]) -> Result<Self, RunFileError> {
        let mut table: toml::Table = self.text.parse().map_err(|error| self.toml_error(&error))?;
        for text in overrides {
            let shown = Foreign::new(text.as_str());
            let wrong = |message: String| self.plain_error(format!("--set {shown}: {message}"));
            let (key, value) = split_outside_quotes(text, '=').ok_or_else(|| wrong("write key=value".into()))?;
            if key.split('.').count() > MAX_NAMES {
                return Err(wrong(format!("the key has more than {MAX_NAMES} names")));
            }
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

/// Splits a text at the first `separator` that is not within quotes. In double quotes a backslash escapes, as in TOML.
fn split_outside_quotes(text: &str, separator: char) -> Option<(&str, &str)> {
    let (mut quote, mut escaped) = (None, false);
    let place = text.char_indices().find(|(_, c)| {
        let is_escaped = std::mem::replace(&mut escaped, false);
        match quote {
            Some('"') if *c == '\\' => escaped = !is_escaped,
            Some(open) if *c == open && !is_escaped => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(*c),
            None => return *c == separator,
        }
        false
    });
    place.map(|(place, _)| (&text[..place], &text[place + separator.len_utf8()..]))
}

/// Splits the first name off a key. A name with a dot or an equals sign stands in quotes, as in TOML.
fn first_name(key: &str) -> (String, Option<&str>) {
    let (name, rest) = match split_outside_quotes(key, '.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (key, None),
    };
    let name = name.trim();
    let quoted = name.starts_with(['"', '\'']).then(|| format!("name = {name}").parse::<toml::Table>().ok()).flatten();
    let unquoted = quoted.and_then(|mut table| Some(table.remove("name")?.as_str()?.to_owned()));
    (unquoted.unwrap_or_else(|| name.to_owned()), rest)
}

/// Sets `a.b.c` in a table. A step into a list of tables is an entry's `name` or its position.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    let (first, rest) = first_name(key);
    let Some(rest) = rest else {
        table.insert(first, value);
        return Ok(());
    };
    match table.entry(first.as_str()).or_insert_with(|| toml::Value::Table(toml::Table::new())) {
        toml::Value::Table(inner) => set(inner, rest, value),
        toml::Value::Array(entries) => {
            let (entry, rest) = first_name(rest);
            let rest =
                rest.ok_or("name an entry and its key, such as plugin.NAME.weight or plugin.\"MY.NAME\".weight")?;
            let has_name = |other: &toml::Value| other.get("name").and_then(toml::Value::as_str) == Some(&entry);
            let place = entries.iter().position(has_name).or_else(|| entry.parse().ok());
            match place.and_then(|place| entries.get_mut(place)) {
                Some(toml::Value::Table(table)) => set(table, rest, value),
                _ => {
                    let names: Vec<String> = entries
                        .iter()
                        .filter_map(|other| Some(Foreign::new(other.get("name")?.as_str()?).to_string()))
                        .collect();
                    let (first, entry) = (Foreign::new(&first), Foreign::new(&entry));
                    Err(format!("{first} has no entry \"{entry}\"; there are {}", names.join(", ")))
                }
            }
        }
        _ => Err(format!("{first} is a single value and has no key {rest}", first = Foreign::new(&first))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_stand_in_quotes() {
        let mut table: toml::Table =
            "[[plugin]]\nname = \"my.plugin\"\n[[plugin]]\nname = \"größe = 1\"\n[[plugin]]\nname = 'a\"b\\c'\n"
                .parse()
                .unwrap();
        for (text, weight) in [
            (r#"plugin."my.plugin".weight=0.5"#, 0.5),
            ("plugin.'größe = 1'.weight=0.25", 0.25),
            (r#"plugin."a\"b\\c".weight=0.125"#, 0.125),
            (r#"plugin.'a"b\c'.weight=2"#, 2.0),
        ] {
            let (key, value) = split_outside_quotes(text, '=').unwrap();
            set(&mut table, key, toml::Value::Float(value.parse().unwrap())).unwrap();
            let weights = table["plugin"].as_array().unwrap().iter().filter_map(|entry| entry.get("weight"));
            assert!(weights.filter_map(toml::Value::as_float).any(|found| found == weight), "{text}: {table}");
        }
        assert_eq!(first_name("a.b.c"), ("a".into(), Some("b.c")));
    }

    #[test]
    fn a_key_without_end_is_refused() {
        let source = Source { name: "run.toml".into(), text: String::new() };
        let set = |names: usize| source.with_overrides(&[format!("{}=1", vec!["a"; names].join("."))]);
        assert!(set(MAX_NAMES).is_ok());
        let Err(error) = set(60_000) else { panic!("it is taken") };
        assert!(error.message.ends_with("the key has more than 32 names"), "{}", error.message);
    }
}
