//! The validation of a value by a schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::canonical;
use crate::number::Num;
use crate::schema::{Check, Index, Schema, Type};

/// Most applications of a subschema to a value.
const STEPS: usize = 300_000;
/// Most subschemas within another, which is a depth of the stack.
const DEPTH: usize = 200;

/// Returns true if a value is valid.
///
/// # Errors
/// The validation takes too many steps, or is nested too deeply. The error is the end of a sentence about the value.
pub(crate) fn is_valid(schema: &Schema, value: &Value) -> Result<bool, String> {
    Validation { schema, known: BTreeMap::new(), steps: 0 }.node(0, value, 0)
}

struct Validation<'a> {
    schema: &'a Schema,
    /// The validity of a value, by its address, under a subschema: branches of a schema often share both.
    known: BTreeMap<(Index, usize), bool>,
    steps: usize,
}

impl Validation<'_> {
    fn node(&mut self, index: Index, value: &Value, depth: usize) -> Result<bool, String> {
        let place = (index, std::ptr::from_ref(value) as usize);
        if let Some(valid) = self.known.get(&place) {
            return Ok(*valid);
        }
        self.steps += 1;
        if self.steps > STEPS || depth > DEPTH {
            return Err(format!(
                "takes more than {STEPS} steps to validate, or {DEPTH} subschemas within one another; simplify the schema"
            ));
        }
        let schema = self.schema;
        let mut valid = true;
        for check in &schema.nodes[index] {
            if !self.check(check, value, depth + 1)? {
                valid = false;
                break;
            }
        }
        self.known.insert(place, valid);
        Ok(valid)
    }

    fn check(&mut self, check: &Check, value: &Value, depth: usize) -> Result<bool, String> {
        Ok(match check {
            Check::Never => false,
            Check::Types(types) => types.iter().any(|wanted| is_of_type(value, *wanted)),
            Check::Enum(values) => values.iter().any(|wanted| is_same(wanted, value)),
            Check::All(indexes) => self.count(indexes, value, depth, indexes.len())? == indexes.len(),
            Check::Any(indexes) => {
                for index in indexes {
                    if self.node(*index, value, depth)? {
                        return Ok(true);
                    }
                }
                false
            }
            Check::One(indexes) => self.count(indexes, value, depth, 0)? == 1,
            Check::Not(index) => !self.node(*index, value, depth)?,
            Check::If(condition, then, otherwise) => {
                let branch = if self.node(*condition, value, depth)? { then } else { otherwise };
                branch.map_or(Ok(true), |index| self.node(index, value, depth))?
            }
            _ => match value {
                Value::Number(number) => is_number_valid(check, Num::of(number)),
                Value::String(text) => is_text_valid(check, text),
                Value::Array(items) => self.array(check, items, depth)?,
                Value::Object(map) => self.object(check, map, value, depth)?,
                Value::Null | Value::Bool(_) => true,
            },
        })
    }

    /// Counts the subschemas by which a value is valid. With `all` of them wanted, it ends at the first that fails.
    fn count(&mut self, indexes: &[Index], value: &Value, depth: usize, all: usize) -> Result<usize, String> {
        let mut count = 0;
        for index in indexes {
            match self.node(*index, value, depth)? {
                true => count += 1,
                false if all > 0 => break,
                false => {}
            }
        }
        Ok(count)
    }

    fn array(&mut self, check: &Check, items: &[Value], depth: usize) -> Result<bool, String> {
        let length = items.len() as u64;
        match check {
            Check::MinItems(least) => Ok(length >= *least),
            Check::MaxItems(most) => Ok(length <= *most),
            Check::UniqueItems => {
                let mut texts: Vec<String> = items.iter().map(canonical::text).collect();
                texts.sort_unstable();
                Ok(texts.windows(2).all(|pair| pair[0] != pair[1]))
            }
            Check::Items(first, rest) => {
                for (at, item) in items.iter().enumerate() {
                    if let Some(index) = first.get(at).copied().or(*rest)
                        && !self.node(index, item, depth)?
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Check::Contains(index, least, most) => {
                let mut count = 0;
                for item in items {
                    count += u64::from(self.node(*index, item, depth)?);
                }
                Ok((*least..=*most).contains(&count))
            }
            _ => Ok(true),
        }
    }

    fn object(&mut self, check: &Check, map: &Map<String, Value>, value: &Value, depth: usize) -> Result<bool, String> {
        let length = map.len() as u64;
        let has = |names: &[String]| names.iter().all(|name| map.contains_key(name));
        match check {
            Check::MinProperties(least) => Ok(length >= *least),
            Check::MaxProperties(most) => Ok(length <= *most),
            Check::Required(names) => Ok(has(names)),
            Check::DependentRequired(entries) => {
                Ok(entries.iter().all(|(name, names)| !map.contains_key(name) || has(names)))
            }
            Check::DependentSchemas(entries) => {
                for (name, index) in entries {
                    if map.contains_key(name) && !self.node(*index, value, depth)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Check::PropertyNames(index) => {
                // The names are values of their own, whose addresses mean nothing later.
                let names: Vec<Value> = map.keys().map(|name| Value::String(name.clone())).collect();
                let mut own = Validation { schema: self.schema, known: BTreeMap::new(), steps: self.steps };
                for name in &names {
                    if !own.node(*index, name, depth)? {
                        return Ok(false);
                    }
                }
                self.steps = own.steps;
                Ok(true)
            }
            Check::Properties(by_name, by_pattern, rest) => {
                for (name, value) in map {
                    let named = by_name.get(name).copied();
                    let matching = by_pattern.iter().filter(|(regex, _)| regex.is_match(name)).map(|(_, index)| *index);
                    let mut indexes: Vec<Index> = named.into_iter().chain(matching).collect();
                    if indexes.is_empty() {
                        indexes.extend(*rest);
                    }
                    for index in indexes {
                        if !self.node(index, value, depth)? {
                            return Ok(false);
                        }
                    }
                }
                Ok(true)
            }
            _ => Ok(true),
        }
    }
}

fn is_of_type(value: &Value, wanted: Type) -> bool {
    match (value, wanted) {
        (Value::Number(number), Type::Integer) => Num::of(number).is_integer(),
        (Value::Null, Type::Null)
        | (Value::Bool(_), Type::Boolean)
        | (Value::Object(_), Type::Object)
        | (Value::Array(_), Type::Array)
        | (Value::Number(_), Type::Number)
        | (Value::String(_), Type::String) => true,
        _ => false,
    }
}

fn is_number_valid(check: &Check, number: Num) -> bool {
    match check {
        Check::Minimum(bound) => number.order(*bound).is_ge(),
        Check::Maximum(bound) => number.order(*bound).is_le(),
        Check::ExclusiveMinimum(bound) => number.order(*bound).is_gt(),
        Check::ExclusiveMaximum(bound) => number.order(*bound).is_lt(),
        Check::MultipleOf(unit) => number.is_multiple_of(*unit),
        _ => true,
    }
}

fn is_text_valid(check: &Check, text: &str) -> bool {
    match check {
        Check::MinLength(least) => text.chars().count() as u64 >= *least,
        Check::MaxLength(most) => text.chars().count() as u64 <= *most,
        Check::Pattern(regex) => regex.is_match(text),
        _ => true,
    }
}

/// Returns true for equal values: 1 is 1.0, and the order of keys does not matter.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => Num::of(one).order(Num::of(other)).is_eq(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let entry = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(entry)
        }
        _ => one == other,
    }
}
