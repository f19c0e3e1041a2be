//! A compiled schema: subschemas, each a list of checks.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use crate::number::Num;

/// Index of a subschema.
pub(crate) type Index = usize;

/// A schema: its subschemas by index. The first is the schema itself.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) nodes: Vec<Vec<Check>>,
}

/// A type of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    String,
    Integer,
}

/// A check of a value.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// `false`: no value is valid.
    Never,
    Types(Vec<Type>),
    Enum(Vec<Value>),
    // Numbers.
    Minimum(Num),
    Maximum(Num),
    ExclusiveMinimum(Num),
    ExclusiveMaximum(Num),
    MultipleOf(Num),
    // Texts.
    MinLength(u64),
    MaxLength(u64),
    Pattern(Regex),
    // Arrays.
    MinItems(u64),
    MaxItems(u64),
    UniqueItems,
    /// The subschemas of the first items, and that of all others.
    Items(Vec<Index>, Option<Index>),
    /// The subschema that at least and at most so many items match.
    Contains(Index, u64, u64),
    // Objects.
    MinProperties(u64),
    MaxProperties(u64),
    Required(Vec<String>),
    DependentRequired(Vec<(String, Vec<String>)>),
    DependentSchemas(Vec<(String, Index)>),
    PropertyNames(Index),
    /// By name, by expression, and for all others.
    Properties(BTreeMap<String, Index>, Vec<(Regex, Index)>, Option<Index>),
    // The same value by other schemas.
    All(Vec<Index>),
    Any(Vec<Index>),
    One(Vec<Index>),
    Not(Index),
    If(Index, Option<Index>, Option<Index>),
}

impl Schema {
    /// Returns a subschema that applies itself to the same value again.
    pub(crate) fn endless(&self) -> Option<Index> {
        let mut before = vec![0usize; self.nodes.len()];
        for check in self.nodes.iter().flatten() {
            check.in_place().into_iter().for_each(|index| before[index] += 1);
        }
        let mut free: Vec<Index> = (0..before.len()).filter(|index| before[*index] == 0).collect();
        while let Some(index) = free.pop() {
            for next in self.nodes[index].iter().flat_map(Check::in_place) {
                before[next] -= 1;
                if before[next] == 0 {
                    free.push(next);
                }
            }
        }
        before.iter().position(|count| *count > 0)
    }
}

impl Check {
    /// Returns the subschemas for the same value.
    fn in_place(&self) -> Vec<Index> {
        match self {
            Self::All(indexes) | Self::Any(indexes) | Self::One(indexes) => indexes.clone(),
            Self::Not(index) => vec![*index],
            Self::If(condition, then, otherwise) => {
                [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
            }
            Self::DependentSchemas(schemas) => schemas.iter().map(|(_, index)| *index).collect(),
            _ => Vec::new(),
        }
    }
}
