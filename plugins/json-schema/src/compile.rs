//! The compilation of a schema: a subset of JSON Schema, draft 2020-12. A keyword outside the subset is refused by name, since
//! one that is ignored would accept what its author wanted to refuse.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::number::Num;
use crate::schema::{Check, Index, Schema, Type};

/// Most subschemas of a schema.
const LARGEST: usize = 5_000;
/// Most bytes of a compiled expression.
const EXPRESSION: usize = 1 << 16;

/// Keywords that describe and do not validate.
const ANNOTATIONS: [&str; 17] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    // It belongs to `if`.
    "then",
];

/// The identifier of the draft.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Compiles a schema.
///
/// # Errors
/// It has a keyword outside the subset, or a value that its keyword does not allow. The error names both, and the place.
pub(crate) fn compile(root: &Value) -> Result<Schema, String> {
    let mut compiler = Compiler { root, indexes: BTreeMap::new(), queue: Vec::new() };
    compiler.index(String::new())?;
    let mut nodes = Vec::new();
    while let Some(pointer) = compiler.queue.get(nodes.len()).cloned() {
        nodes.push(compiler.node(&pointer)?);
    }
    let schema = Schema { nodes };
    match schema.endless() {
        Some(at) => {
            let pointer = &compiler.queue[at];
            Err(format!(
                "schema: \"#{pointer}\" refers to itself for the same value, without end; remove the reference"
            ))
        }
        None => Ok(schema),
    }
}

/// Compiles subschemas one after the other, so that no depth of references is a depth of the stack.
struct Compiler<'a> {
    root: &'a Value,
    /// The index of each subschema by its JSON pointer.
    indexes: BTreeMap<String, Index>,
    /// The pointers by index.
    queue: Vec<String>,
}

impl Compiler<'_> {
    /// Returns the index of the subschema at a pointer.
    fn index(&mut self, pointer: String) -> Result<Index, String> {
        if let Some(index) = self.indexes.get(&pointer) {
            return Ok(*index);
        }
        if self.queue.len() >= LARGEST {
            return Err(format!("schema: it has more than {LARGEST} subschemas; make it smaller"));
        }
        let index = self.queue.len();
        self.indexes.insert(pointer.clone(), index);
        self.queue.push(pointer);
        Ok(index)
    }

    fn child(&mut self, pointer: &str, key: &str) -> Result<Index, String> {
        self.index(format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")))
    }

    fn list(&mut self, pointer: &str, key: &str, value: &Value) -> Result<Vec<Index>, String> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            return Err(wrong(pointer, key, "a list of one or more schemas"));
        };
        (0..items.len()).map(|at| self.index(format!("{pointer}/{key}/{at}"))).collect()
    }

    fn named(&mut self, pointer: &str, key: &str, value: &Value) -> Result<Vec<(String, Index)>, String> {
        let Some(map) = value.as_object() else { return Err(wrong(pointer, key, "a table of schemas")) };
        map.keys().map(|name| Ok((name.clone(), self.child(&format!("{pointer}/{key}"), name)?))).collect()
    }

    /// Compiles the subschema at a pointer.
    fn node(&mut self, pointer: &str) -> Result<Vec<Check>, String> {
        let root = self.root;
        match root.pointer(pointer) {
            Some(Value::Bool(true)) => Ok(Vec::new()),
            Some(Value::Bool(false)) => Ok(vec![Check::Never]),
            Some(Value::Object(map)) => {
                let mut checks = Vec::new();
                for (key, value) in map {
                    if key == "$schema" && value.as_str().is_none_or(|draft| draft.trim_end_matches('#') != DRAFT) {
                        return Err(wrong(pointer, key, &format!("\"{DRAFT}\", the draft that is supported")));
                    }
                    if key == "$id" && !pointer.is_empty() {
                        return Err(format!("schema: $id at \"#{pointer}\" is supported at the top alone; remove it"));
                    }
                    checks.extend(self.keyword(pointer, key, value, map)?);
                }
                Ok(checks)
            }
            Some(_) => Err(format!("schema: \"#{pointer}\" is no schema; a schema is a table, true or false")),
            None => Err(format!("schema: there is no \"#{pointer}\", which a $ref names; correct the reference")),
        }
    }

    fn keyword(
        &mut self,
        pointer: &str,
        key: &str,
        value: &Value,
        map: &Map<String, Value>,
    ) -> Result<Option<Check>, String> {
        let count = || count(value).ok_or_else(|| wrong(pointer, key, "an integer of at least 0"));
        let number = || match value {
            Value::Number(number) => Ok(Num::of(number)),
            _ => Err(wrong(pointer, key, "a number")),
        };
        let other = |name: &str| map.get(name);
        let check = match key {
            "type" => Check::Types(types(pointer, value)?),
            "enum" => Check::Enum(value.as_array().ok_or_else(|| wrong(pointer, key, "a list of values"))?.clone()),
            "const" => Check::Enum(vec![value.clone()]),
            "minimum" => Check::Minimum(number()?),
            "maximum" => Check::Maximum(number()?),
            "exclusiveMinimum" => Check::ExclusiveMinimum(number()?),
            "exclusiveMaximum" => Check::ExclusiveMaximum(number()?),
            "multipleOf" if number()?.order(Num::Integer(0)).is_gt() => Check::MultipleOf(number()?),
            "multipleOf" => return Err(wrong(pointer, key, "a number above 0")),
            "minLength" => Check::MinLength(count()?),
            "maxLength" => Check::MaxLength(count()?),
            "pattern" => Check::Pattern(expression(pointer, key, value.as_str())?),
            "minItems" => Check::MinItems(count()?),
            "maxItems" => Check::MaxItems(count()?),
            "uniqueItems" => match value {
                Value::Bool(true) => Check::UniqueItems,
                Value::Bool(false) => return Ok(None),
                _ => return Err(wrong(pointer, key, "true or false")),
            },
            "prefixItems" => {
                let first = self.list(pointer, key, value)?;
                let rest = other("items").map(|_| self.child(pointer, "items")).transpose()?;
                Check::Items(first, rest)
            }
            "items" if other("prefixItems").is_some() => return Ok(None),
            "items" if value.is_array() => {
                return Err(format!(
                    "schema: items at \"#{pointer}\" is a list; since draft 2020-12 that is `prefixItems`"
                ));
            }
            "items" => Check::Items(Vec::new(), Some(self.child(pointer, key)?)),
            "contains" => {
                let bound = |name: &str, default| other(name).map_or(Some(default), self::count);
                let bounds = bound("minContains", 1).zip(bound("maxContains", u64::MAX));
                let (least, most) =
                    bounds.ok_or_else(|| wrong(pointer, "minContains and maxContains", "integers of at least 0"))?;
                Check::Contains(self.child(pointer, key)?, least, most)
            }
            "minContains" | "maxContains" => return Ok(None),
            "minProperties" => Check::MinProperties(count()?),
            "maxProperties" => Check::MaxProperties(count()?),
            "required" => Check::Required(names(pointer, key, value)?),
            "dependentRequired" => {
                let map = value.as_object().ok_or_else(|| wrong(pointer, key, "a table of lists of names"))?;
                let entry = |(name, value): (&String, &Value)| Ok((name.clone(), names(pointer, key, value)?));
                Check::DependentRequired(map.iter().map(entry).collect::<Result<_, String>>()?)
            }
            "dependentSchemas" => Check::DependentSchemas(self.named(pointer, key, value)?),
            "propertyNames" => Check::PropertyNames(self.child(pointer, key)?),
            "properties" | "patternProperties" | "additionalProperties" => {
                // One check for the three, made at the first of them that is there.
                let three = ["properties", "patternProperties", "additionalProperties"];
                if three.into_iter().find(|name| map.contains_key(*name)) != Some(key) {
                    return Ok(None);
                }
                self.properties(pointer, map)?
            }
            "allOf" => Check::All(self.list(pointer, key, value)?),
            "anyOf" => Check::Any(self.list(pointer, key, value)?),
            "oneOf" => Check::One(self.list(pointer, key, value)?),
            "not" => Check::Not(self.child(pointer, key)?),
            "if" => {
                let mut branch = |name: &str| map.get(name).map(|_| self.child(pointer, name)).transpose();
                let (then, otherwise) = (branch("then")?, branch("else")?);
                Check::If(self.child(pointer, key)?, then, otherwise)
            }
            "else" => return Ok(None),
            "$ref" => Check::All(vec![self.reference(pointer, value)?]),
            _ if ANNOTATIONS.contains(&key) => return Ok(None),
            _ => {
                return Err(format!(
                    "schema: the keyword \"{key}\" at \"#{pointer}\" is not supported; remove it, or write it with others"
                ));
            }
        };
        Ok(Some(check))
    }

    fn properties(&mut self, pointer: &str, map: &Map<String, Value>) -> Result<Check, String> {
        let mut named = |key: &str| map.get(key).map(|value| self.named(pointer, key, value)).transpose();
        let (by_name, by_pattern) = (named("properties")?, named("patternProperties")?);
        let mut patterns = Vec::new();
        for (pattern, index) in by_pattern.unwrap_or_default() {
            patterns.push((expression(pointer, "patternProperties", Some(&pattern))?, index));
        }
        let rest = map.get("additionalProperties").map(|_| self.child(pointer, "additionalProperties")).transpose()?;
        Ok(Check::Properties(by_name.unwrap_or_default().into_iter().collect(), patterns, rest))
    }

    fn reference(&mut self, pointer: &str, value: &Value) -> Result<Index, String> {
        let target = value.as_str().and_then(|text| text.strip_prefix('#')).and_then(percent_decoded);
        match target.filter(|target| target.is_empty() || target.starts_with('/')) {
            Some(target) => self.index(target),
            None => Err(wrong(pointer, "$ref", "a reference within the schema, such as \"#/$defs/name\"")),
        }
    }
}

fn wrong(pointer: &str, key: &str, wanted: &str) -> String {
    format!("schema: {key} at \"#{pointer}\" must be {wanted}")
}

/// Returns a number that counts: 2.0 is 2.
fn count(value: &Value) -> Option<u64> {
    match Num::of(value.as_number()?) {
        Num::Integer(count) => u64::try_from(count).ok(),
        Num::Float(_) => None,
    }
}

fn types(pointer: &str, value: &Value) -> Result<Vec<Type>, String> {
    let of_name = |value: &Value| {
        Some(match value.as_str()? {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "object" => Type::Object,
            "array" => Type::Array,
            "number" => Type::Number,
            "string" => Type::String,
            "integer" => Type::Integer,
            _ => return None,
        })
    };
    let listed = match value {
        Value::Array(names) => names.iter().map(of_name).collect(),
        name => of_name(name).map(|name| vec![name]),
    };
    listed.ok_or_else(|| {
        wrong(pointer, "type", "null, boolean, object, array, number, string or integer, or a list of these")
    })
}

fn names(pointer: &str, key: &str, value: &Value) -> Result<Vec<String>, String> {
    let listed = value.as_array().and_then(|names| names.iter().map(|name| Some(name.as_str()?.to_owned())).collect());
    listed.ok_or_else(|| wrong(pointer, key, "a list of names"))
}

fn expression(pointer: &str, key: &str, text: Option<&str>) -> Result<Regex, String> {
    let text = text.ok_or_else(|| wrong(pointer, key, "an expression"))?;
    let regex = RegexBuilder::new(text).size_limit(EXPRESSION).build();
    regex.map_err(|error| {
        format!("schema: {key} at \"#{pointer}\" does not compile: {error}; see the syntax of the crate regex-lite")
    })
}

/// Returns the text of a part of a URI.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
