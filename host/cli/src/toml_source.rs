//! The text of a run file: overrides of its keys, and errors that point into it and suggest the key that was meant.

use miette::NamedSource;

use crate::error::{Error, Result};

/// The text being read, for errors that point into it.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// The text with `--set` applied. It is printed anew, so errors point into what the run would really read.
    pub(crate) fn with_overrides(&self, overrides: &[String]) -> Result<Self> {
        let mut table: toml::Table = self.text.parse().map_err(|error| self.toml_error(&error))?;
        for text in overrides {
            let wrong = |message: String| self.plain(format!("--set {text}: {message}"));
            let (key, value) = text.split_once('=').ok_or_else(|| wrong("write key=value".into()))?;
            // A value that is no TOML is a string, so that paths need no quotes within the shell's.
            let value = format!("value = {value}")
                .parse::<toml::Table>()
                .ok()
                .and_then(|mut parsed| parsed.remove("value"))
                .unwrap_or_else(|| toml::Value::String(value.into()));
            set(&mut table, key, value).map_err(wrong)?;
        }
        let text = toml::to_string(&table).map_err(|error| self.plain(error.to_string()))?;
        Ok(Self { name: format!("{} with --set applied", self.name), text })
    }

    /// What the TOML reader says, with a suggestion where a key is unknown.
    pub(crate) fn toml_error(&self, error: &toml::de::Error) -> Error {
        let message = error.message().to_owned();
        let help = unknown_key(&message).map(|(wrong, known)| match nearest(wrong, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are: {}", known.join(", ")),
        });
        let message =
            if help.is_some() { message.split(", expected").next().unwrap_or(&message).into() } else { message };
        Error::RunFile {
            message,
            help,
            source_code: NamedSource::new(&self.name, self.text.clone()).with_language("TOML"),
            at: error.span().map(Into::into),
        }
    }

    /// An error of a value: points at the first line that sets `key`.
    pub(crate) fn error(&self, key: &str, message: String) -> Error {
        let mut offset = 0;
        let at = self.text.split_inclusive('\n').find_map(|line| {
            let start = offset;
            offset += line.len();
            let bare = line.trim_start_matches(['[', ' ']);
            bare.starts_with(key).then(|| (start, line.trim_end().len()).into())
        });
        let source_code = NamedSource::new(&self.name, self.text.clone()).with_language("TOML");
        Error::RunFile { message, help: None, source_code, at }
    }

    fn plain(&self, message: String) -> Error {
        self.error("\0", message)
    }
}

/// Sets `a.b.c` in a table. Within a list of tables a step is an entry's `name` or its position.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> std::result::Result<(), String> {
    let (first, rest) = match key.split_once('.') {
        None => {
            table.insert(key.into(), value);
            return Ok(());
        }
        Some(parts) => parts,
    };
    match table.entry(first).or_insert_with(|| toml::Value::Table(toml::Table::new())) {
        toml::Value::Table(inner) => set(inner, rest, value),
        toml::Value::Array(entries) => {
            let (which, rest) = rest.split_once('.').ok_or("name an entry and its key, such as plugin.NAME.weight")?;
            let position = which.parse::<usize>().ok();
            let is = |entry: &toml::Value| entry.get("name").and_then(toml::Value::as_str) == Some(which);
            let at = entries.iter().position(is).or(position);
            match at.and_then(|at| entries.get_mut(at)) {
                Some(toml::Value::Table(entry)) => set(entry, rest, value),
                _ => Err(format!("{first} has no entry \"{which}\"")),
            }
        }
        _ => Err(format!("{first} is a single value and has no key {rest}")),
    }
}

/// The key and its alternatives in serde's message: "unknown field `stpes`, expected one of `steps`, `seed`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (wrong, rest) = rest.split_once('`')?;
    Some((wrong, rest.split('`').skip(1).step_by(2).collect()))
}

pub(crate) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |key: &str| strsim::damerau_levenshtein(wrong, key);
    let near = known.iter().copied().min_by_key(|key| distance(key))?;
    (distance(near) <= near.len().max(wrong.len()) / 2).then_some(near)
}
