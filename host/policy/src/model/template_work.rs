//! Prices, in steps of a template, of the work that the template library leaves out of its own: a template comes from a stranger,
//! and its steps bound its time and memory.

use minijinja::{
    Environment, Error as JinjaError, ErrorKind, State, Value as JinjaValue, filters,
    value::{Serde, ValueKind},
};
use minijinja_contrib::pycompat;
use serde_json::Value;

/// Bytes that a step pays for, as in the library.
const BYTES: usize = 64;

/// Lists within lists that are written as a text.
const MOST_NESTED: usize = 64;

type Result<T> = std::result::Result<T, JinjaError>;

/// Adds the methods of Python's types and the filters that are paid for here.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.add_filter("split", |state: &State, value: &JinjaValue, by: Option<String>, most: Option<i64>| {
        pay_for_parts(state, value, by.as_deref())?;
        filters::split(value, by.map(Into::into), most)
    });
    environment.add_filter("lines", |state: &State, value: &JinjaValue| {
        pay_for_parts(state, value, None)?;
        filters::lines(value)
    });
    environment.add_filter("string", |state: &State, value: &JinjaValue| {
        pay_for_text(state, value, 0)?;
        Ok::<_, JinjaError>(if value.as_str().is_some() { value.clone() } else { JinjaValue::from(value.to_string()) })
    });
    environment.set_formatter(|output, state, value| {
        pay_for_text(state, value, 0)?;
        minijinja::escape_formatter(output, state, value)
    });
    // That of the library escapes texts for the web.
    environment.add_filter("tojson", |state: &State, value: &JinjaValue| {
        pay_for_text(state, value, 0)?;
        let Serde(value) = <Serde<Value> as minijinja::value::ArgType>::from_value(Some(value))?;
        Ok::<_, JinjaError>(value.to_string())
    });
}

fn method(state: &mut State, value: &JinjaValue, name: &str, arguments: &[JinjaValue]) -> Result<JinjaValue> {
    if let (ValueKind::String, Some(text)) = (value.kind(), value.as_str()) {
        match name {
            "format" => {
                state.consume_fuel(sizes(text) / BYTES as u64)?;
                // Each place of the text can write any of the arguments.
                for _ in 0..text.matches('{').count() {
                    arguments.iter().try_for_each(|argument| pay_for_text(state, argument, 0))?;
                }
            }
            "join" => arguments.iter().try_for_each(|argument| pay_for_text(state, argument, 0))?,
            "split" | "splitlines" => pay_for_parts(state, value, arguments.first().and_then(JinjaValue::as_str))?,
            _ => {}
        }
    }
    pycompat::unknown_method_callback(state, value, name, arguments)
}

/// Returns the sum of the widths and precisions in a format of Python's `str.format`.
fn sizes(format: &str) -> u64 {
    let specifications = format.split('{').skip(1).filter_map(|place| place.split('}').next()?.split_once(':'));
    let numbers = specifications.flat_map(|(_, specification)| specification.split(|c: char| !c.is_ascii_digit()));
    let number = |digits: &str| if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    numbers.map(number).fold(0, u64::saturating_add)
}

/// Pays for the parts of a text that is split.
fn pay_for_parts(state: &State, value: &JinjaValue, by: Option<&str>) -> Result<()> {
    let text = value.as_str().unwrap_or_default();
    let parts = match by {
        Some(by) if !by.is_empty() => text.matches(by).count(),
        _ => text.chars().filter(|character| character.is_whitespace()).count(),
    };
    state.consume_fuel(parts as u64)
}

/// Pays for the text of a value. A list can hold another many times, so its text can be far larger than its memory.
pub(super) fn pay_for_text(state: &State, value: &JinjaValue, depth: usize) -> Result<()> {
    if depth > MOST_NESTED {
        return Err(JinjaError::new(ErrorKind::InvalidOperation, "lists are nested too deeply to be written"));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            for item in value.try_iter()?.checked() {
                let item = item?;
                state.consume_fuel(1)?;
                pay_for_text(state, &item, depth + 1)?;
                if value.kind() == ValueKind::Map {
                    pay_for_text(state, &value.get_item(&item)?, depth + 1)?;
                }
            }
            Ok(())
        }
        _ => state.consume_fuel((value.as_str().map_or(0, str::len) / BYTES) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_a_format_are_those_within_its_places() {
        assert_eq!(sizes("20240726 {} {:>30}{:05.2f} }: 7"), 37);
        assert_eq!(sizes("{:>99999999999999999999999}{:1}"), u64::MAX);
    }
}
