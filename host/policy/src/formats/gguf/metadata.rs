//! The metadata of a file, with accessors whose errors name the file and the key.

use std::{collections::HashMap, path::Path};

use candle_core::quantized::gguf_file::Value;

use crate::error::{Error, Result};

/// The metadata of the file at a path.
#[derive(Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) path: &'a Path,
    pub(super) values: &'a HashMap<String, Value>,
}

impl<'a> Metadata<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key)
    }

    /// Reads a value. Fails if it is missing or of another type.
    pub(super) fn require<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<T> {
        self.optional(key, read)?.ok_or_else(|| self.wrong(format!("there is no `{key}` in the metadata")))
    }

    /// Reads a value that may be missing. Fails if it is of another type.
    pub(super) fn optional<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(format!("`{key}` in the metadata has an unexpected type"))),
        }
    }

    /// Reads a list; every entry by `read`.
    pub(super) fn list<T>(&self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<Vec<T>>> {
        self.optional(key, |value| match value {
            Value::Array(values) => values.iter().map(read).collect(),
            _ => None,
        })
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::content(self.path, reason)
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match *value {
        Value::U8(v) => Some(v.into()),
        Value::I8(v) => Some(v.into()),
        Value::U16(v) => Some(v.into()),
        Value::I16(v) => Some(v.into()),
        Value::U32(v) => Some(v.into()),
        Value::I32(v) => Some(v.into()),
        Value::U64(v) => i64::try_from(v).ok(),
        Value::I64(v) => Some(v),
        _ => None,
    }
}

pub(super) fn size(value: &Value) -> Option<usize> {
    usize::try_from(integer(value)?).ok()
}

pub(super) fn token(value: &Value) -> Option<u32> {
    u32::try_from(integer(value)?).ok()
}

/// Returns a number as it was meant: the shortest decimal fraction of a number of 32 bits, so that 1e-5 stays 1e-5.
pub(super) fn float(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(v) => v.to_string().parse().ok(),
        Value::F64(v) => Some(v),
        _ => None,
    }
}

pub(super) fn boolean(value: &Value) -> Option<bool> {
    match *value {
        Value::Bool(v) => Some(v),
        _ => None,
    }
}

pub(super) fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
