//! The text of a run file, and errors that point into it.

use std::ops::Range;
use std::path::Path;

use alft_fs::nearest;
use alft_plugin_host::limits::InvalidLimit;
use alft_text::Foreign;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of a run file under the name that errors call it by.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Keys of other tools and of other tables, and what is meant here.
const ELSEWHERE: [(&str, &str); 15] = [
    ("steps", "`train.steps` and `warm_start.steps` are the numbers of steps"),
    ("group", "`game.group` is the number of completions for each prompt"),
    ("beta", "`train.loss.beta` is the weight of the KL penalty"),
    ("temperature", "`sampling.temperature` is that of training"),
    ("total_steps", "leave it out: a schedule ends with the last step of `train.steps` or `warm_start.steps`"),
    ("learning_rate", "it stands in a schedule: `schedule = { learning_rate = 1e-5 }`"),
    ("lr", "it stands in a schedule: `schedule = { learning_rate = 1e-5 }`"),
    ("warmup_steps", "it stands in a schedule: `schedule = { learning_rate = 1e-5, warmup_steps = 10 }`"),
    (
        "batch_size",
        "`game.bundles_per_step` is the number of questions of a step, and `warm_start.batch` that of examples",
    ),
    ("num_generations", "`game.group` is the number of completions for each prompt"),
    ("max_completion_length", "`sampling.max_new_tokens` is the length of a completion"),
    ("max_tokens", "`sampling.max_new_tokens` is the length of a completion"),
    ("epochs", "`train.steps` is the number of steps"),
    ("num_train_epochs", "`train.steps` is the number of steps"),
    ("kl_coef", "`train.loss.beta` is the weight of the KL penalty"),
];

/// Keys that a run file must have, and a line with each.
const REQUIRED: [(&str, &str); 6] = [
    ("output", "the folder of the run's files, as in `output = \"runs/first\"` in front of all tables"),
    (
        "model",
        "the model that is trained, as in `model = { path = \"models/Qwen2.5-0.5B\" }`, or `embedded = \"tiny\"` for a try",
    ),
    ("prompts", "the questions, as in `prompts = { train = \"train.jsonl\" }`"),
    ("sampling", "the length of completions, as in `sampling = { max_new_tokens = 256 }`"),
    ("train", "the length of the run, as in `train = { steps = 100 }`"),
    ("name", "a name of the plugin, as in `name = \"coherence\"`"),
];

/// A run file that cannot be used: the message, and the place in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunFileError {
    /// The mistake, with the qualified key where there is one.
    pub message: String,
    /// The remedy, where one can be named.
    pub help: Option<String>,
    /// The name of the text: the run file's path.
    pub name: String,
    /// The text that was read, overrides applied.
    pub text: String,
    /// The place of the mistake in the text, in bytes.
    pub span: Option<Range<usize>>,
}

/// A setting with a value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {reason}")]
pub struct InvalidSetting {
    /// The qualified key: `eval.group`, `plugin.NAME.weight`.
    pub key: String,
    /// The rule that the value breaks, and the value.
    pub reason: String,
}

impl InvalidSetting {
    pub(super) fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }

    /// A limit of the table `table` that is out of bounds.
    pub(super) fn limit(table: &str, invalid: &InvalidLimit) -> Self {
        let InvalidLimit { key, value, min, max } = invalid;
        let bounds = max.map_or_else(|| format!("at least {min}"), |max| format!("from {min} to {max}"));
        Self::new(format!("{table}.{key}"), format!("must be {bounds}, not {value}"))
    }
}

impl Source {
    /// The text of the run file at `path`, with overrides (`key.path=value`) applied.
    pub(super) fn new(path: &Path, text: &str, overrides: &[String]) -> Result<Self, RunFileError> {
        let source = Self { name: Foreign::path(&path).to_string(), text: text.to_owned() };
        source.check_values()?;
        if overrides.is_empty() {
            return Ok(source);
        }
        let source = source.with_overrides(overrides)?;
        source.check_values()?;
        Ok(source)
    }

    /// The TOML reader's error, with a suggestion where a key is unknown.
    pub(super) fn toml_error(&self, error: &toml::de::Error) -> RunFileError {
        let message = error.message().to_owned();
        let help = of_unknown(&message).or_else(|| of_message(&message));
        let first_part = || message.split(", expected").next().unwrap_or(&message).to_owned();
        let message = if unknown(&message).is_some() { first_part() } else { message };
        self.error(message, help, error.span())
    }

    /// The error of a value: points at the line that sets the key, or else at the innermost table around it.
    pub(super) fn setting_error(&self, invalid: &InvalidSetting) -> RunFileError {
        self.error(invalid.to_string(), None, locate(&self.text, &invalid.key))
    }

    /// Finds a value that has no safe place: an integer beyond an `i64`, which TOML does not promise, `--set` does not take and
    /// sums of which overflow, and an infinity, NaN or a date in the tables that become JSON.
    fn check_values(&self) -> Result<(), RunFileError> {
        let table = DeTable::parse(&self.text).map_err(|error| self.toml_error(&error))?;
        match misplaced(table.get_ref(), "", false) {
            Some(Misplaced { key, place, rule }) => {
                let message = format!("`{key}` {rule}, not {}", &self.text[place.clone()], key = Foreign::new(&key));
                Err(self.error(message, None, Some(place)))
            }
            None => Ok(()),
        }
    }

    /// An error of the whole text.
    pub(super) fn plain_error(&self, message: String) -> RunFileError {
        self.error(message, None, None)
    }

    fn error(&self, message: String, help: Option<String>, span: Option<Range<usize>>) -> RunFileError {
        RunFileError { message, help, name: self.name.clone(), text: self.text.clone(), span }
    }
}

/// The place of a qualified key's value in a TOML text. A step into a list of tables is an entry's `name`.
fn locate(text: &str, key: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut span = None;
    let mut inside: Option<&DeTable<'_>> = Some(table.get_ref());
    let mut steps = key.split('.');
    while let (Some(table), Some(step)) = (inside, steps.next()) {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref().as_ref() == step) else { break };
        span = Some(name.span().start..value.span().end);
        inside = match value.get_ref() {
            DeValue::Table(table) => {
                // The span of a table's header is the header alone; the header's key is what people look for.
                span = Some(name.span());
                Some(table)
            }
            DeValue::Array(entries) => match steps.next() {
                Some(name) => {
                    let entry =
                        entries.iter().find_map(|entry| named(entry.get_ref(), name).map(|t| (entry.span(), t)));
                    entry.map(|(header, table)| {
                        span = Some(header);
                        table
                    })
                }
                None => None,
            },
            _ => None,
        };
    }
    span.filter(|span| !span.is_empty() && span.end <= text.len())
}

/// The tables that become JSON.
const JSON_TABLES: [&str; 3] = ["config", "limits", "chat_template_kwargs"];

/// A value that has no safe place.
struct Misplaced {
    /// The qualified key of its value.
    key: String,
    place: Range<usize>,
    /// The rule that the value breaks.
    rule: &'static str,
}

/// Finds the first value in the table of the key `of` that has no safe place.
fn misplaced(table: &DeTable<'_>, of: &str, in_json: bool) -> Option<Misplaced> {
    fn of_value(value: &Spanned<DeValue<'_>>, key: &str, in_json: bool) -> Option<Misplaced> {
        let found = |rule| Some(Misplaced { key: key.to_owned(), place: value.span(), rule });
        match value.get_ref() {
            DeValue::Integer(integer) if i64::from_str_radix(integer.as_str(), integer.radix()).is_err() => {
                found("must be an integer from -9223372036854775808 to 9223372036854775807")
            }
            DeValue::Float(number) if in_json && number.as_str().ends_with(['n', 'f']) => {
                found("must be a finite number")
            }
            DeValue::Datetime(_) if in_json => found("must be text: write a date in quotes"),
            DeValue::Array(entries) => entries.iter().enumerate().find_map(|(place, entry)| {
                let step = name_of(entry.get_ref()).map_or_else(|| place.to_string(), ToString::to_string);
                of_value(entry, &format!("{key}.{step}"), in_json)
            }),
            DeValue::Table(table) => misplaced(table, key, in_json),
            _ => None,
        }
    }
    table.iter().find_map(|(name, value)| {
        let name = name.get_ref().as_ref();
        let key = if of.is_empty() { name.to_owned() } else { format!("{of}.{name}") };
        of_value(value, &key, in_json || JSON_TABLES.contains(&name))
    })
}

/// The table, if its `name` is the one that is looked for.
fn named<'a, 'i>(entry: &'a DeValue<'i>, name: &str) -> Option<&'a DeTable<'i>> {
    let DeValue::Table(table) = entry else { return None };
    (name_of(entry)? == name).then_some(table)
}

/// The `name` of a table.
fn name_of<'a>(entry: &'a DeValue<'_>) -> Option<&'a str> {
    let DeValue::Table(table) = entry else { return None };
    let (_, own) = table.iter().find(|(key, _)| key.get_ref().as_ref() == "name")?;
    if let DeValue::String(own) = own.get_ref() { Some(own.as_ref()) } else { None }
}

/// The word and its alternatives in serde's message: "unknown field `stpes`, expected one of `steps`, `seed`".
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (wrong, rest) = rest.split_once('`')?;
    Some((wrong, rest.split('`').skip(1).step_by(2).collect()))
}

/// The remedy for a key or a value that there is not.
fn of_unknown(message: &str) -> Option<String> {
    let (wrong, known) = unknown(message)?;
    let names = known.join(", ");
    let elsewhere = ELSEWHERE.iter().find(|(key, _)| *key == wrong).map(|(_, place)| *place);
    Some(match (nearest(wrong, &known), elsewhere) {
        (_, Some(place)) => place.to_owned(),
        (Some(near), None) => format!("did you mean `{near}`?"),
        (None, None) if message.starts_with("unknown variant") => format!("write one of {names}"),
        (None, None) => format!("the keys here are: {names}"),
    })
}

/// The remedy for a value or a text that is not what stands in its place, by the message of the TOML reader or of serde.
fn of_message(message: &str) -> Option<String> {
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let what = REQUIRED.iter().find(|(name, _)| *name == key).map(|(_, what)| *what);
        return Some(what.map_or_else(|| format!("add the key `{key}`"), |what| format!("add {what}")));
    }
    let starts: [(&str, &str); 6] = [
        ("duplicate key", "keep one of the two; a further plugin is a table `[[plugin]]`, with two brackets"),
        ("invalid boolean", "write a text in quotes, as in \"tiny\""),
        ("string values must be quoted", "write a text in quotes, as in \"tiny\""),
        (
            "missing escaped value",
            "a backslash begins an escape in a text; write the text in single quotes: 'C:\\models'",
        ),
        (
            "invalid key-value pair",
            "a run file is TOML: lines `key = value` below tables such as [train]; docs/run-file.md has all keys",
        ),
        ("unclosed table", "close the bracket behind the table's name"),
    ];
    if let Some((_, remedy)) = starts.iter().find(|(start, _)| message.starts_with(start)) {
        return Some((*remedy).to_owned());
    }
    if message.contains("number overflowed") {
        return Some("write a number that has a place in 64 bits".into());
    }
    Some(match message.rsplit_once("expected ")?.1 {
        "u64" | "u32" | "usize" => "write a whole number that is 0 or more".into(),
        "f64" => "write a number".into(),
        "a string" => "write a text in quotes".into(),
        "a boolean" => "write true or false, without quotes".into(),
        "a sequence" => "write a list, as in [\"a\", \"b\"]".into(),
        "a map" => "write a table, as in { key = \"value\" }".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
group = "decoy"
[game]
group = 8
[eval]
group = 0
sampling = { top_p = 2.0 }
[[plugin]]
name = "a"
weight = 1.0
[[plugin]]
name = "b"
weight = -1.0
"#;

    fn at(key: &str) -> &'static str {
        locate(TEXT, key).map_or("nowhere", |span| &TEXT[span])
    }

    #[test]
    fn a_qualified_key_is_found_in_its_own_table() {
        assert_eq!(at("eval.group"), "group = 0");
        assert_eq!(at("game.group"), "group = 8");
        assert_eq!(at("group"), "group = \"decoy\"");
        assert_eq!(at("plugin.b.weight"), "weight = -1.0");
        assert_eq!(at("eval.sampling.top_p"), "top_p = 2.0");
    }

    #[test]
    fn a_number_without_a_safe_place_is_told_with_its_key() {
        let told = |text: &str| {
            let source = Source { name: "run.toml".into(), text: text.to_owned() };
            source.check_values().map_err(|error| error.message)
        };
        let of_plugin = |line: &str| told(&format!("[[plugin]]\nname = \"x\"\n{line}\n"));
        for (line, key) in [
            ("config = { a = nan }", "plugin.x.config.a"),
            ("config = { a = [1.0, { b = -inf }] }", "plugin.x.config.a.1.b"),
            ("limits = { memory = inf }", "plugin.x.limits.memory"),
            ("[plugin.config.table]\n'k' = +nan", "plugin.x.config.table.k"),
        ] {
            let error = of_plugin(line).unwrap_err();
            assert!(error.starts_with(&format!("`{key}` must be a finite number, not ")), "{error}");
        }
        assert_eq!(
            of_plugin("config = { day = 1979-05-27 }").unwrap_err(),
            "`plugin.x.config.day` must be text: write a date in quotes, not 1979-05-27"
        );
        let error = told("[prompts]\nchat_template_kwargs = { a = inf }").unwrap_err();
        assert!(error.starts_with("`prompts.chat_template_kwargs.a` "), "{error}");
        let error = told("seed = 99999999999999999999").unwrap_err();
        assert_eq!(
            error,
            "`seed` must be an integer from -9223372036854775808 to 9223372036854775807, not 99999999999999999999"
        );
        assert_eq!(of_plugin("weight = nan"), Ok(()), "the check of the key says more");
    }

    #[test]
    fn a_key_that_is_not_written_is_marked_at_its_table() {
        assert!(at("eval.bundles").contains("eval"), "{}", at("eval.bundles"));
        assert!(at("plugin.b.on_error").contains("plugin"), "{}", at("plugin.b.on_error"));
        assert_eq!(at("limits.memory"), "nowhere");
    }
}
