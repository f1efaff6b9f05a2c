//! Taking a row apart, column by column.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::signature::Signature;
use crate::ports::{Row, Value};

type Result<T> = std::result::Result<T, StoreError>;

/// Takes a row apart, from its first column on.
pub(super) struct Reader {
    database: String,
    what: String,
    values: std::vec::IntoIter<Value>,
}

impl Reader {
    /// A reader of this row of the database with this name; `what` names the row in errors.
    pub(super) fn new(database: String, row: Row, what: &str) -> Self {
        Self { database, what: what.to_owned(), values: row.into_iter() }
    }

    /// Gives the row a better name, now that more of it is known.
    pub(super) fn rename(&mut self, what: String) {
        self.what = what;
    }

    pub(super) fn int(&mut self) -> Result<i64> {
        self.optional_int()?.ok_or_else(|| self.damaged("a number is missing"))
    }

    pub(super) fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or_else(|| self.damaged("a text is missing"))
    }

    pub(super) fn optional_int(&mut self) -> Result<Option<i64>> {
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Text(_)) => Err(self.damaged("it has a text in the place of a number")),
        }
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>> {
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Int(_)) => Err(self.damaged("it has a number in the place of a text")),
        }
    }

    /// A signature, out of the columns `key_id` and `signature`.
    pub(super) fn signature(&mut self) -> Result<Option<Signature>> {
        let columns = (self.optional_text()?, self.optional_text()?);
        Ok(match columns {
            (Some(key_id), Some(code)) => Some(Signature { key_id, code }),
            _ => None,
        })
    }

    /// A document out of the text of a column.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &str, text: &str) -> Result<T> {
        let reason = |error| format!("in the column {column}, {error}");
        serde_json::from_str(text).map_err(|error| self.damaged(&reason(error)))
    }

    pub(super) fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Damaged {
            database: self.database.clone(),
            what: self.what.clone(),
            reason: reason.to_owned(),
        }
    }

    /// The error of a row in a format that this version does not know.
    pub(super) fn newer(&self, format: u32) -> StoreError {
        StoreError::NewerRecord { database: self.database.clone(), what: self.what.clone(), format }
    }
}

/// A text as a parameter.
pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A document as a parameter.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Value {
    Value::Text(serde_json::to_string(value).expect("strings and numbers are always valid JSON"))
}

/// The columns `key_id` and `signature` as parameters.
pub(super) fn signature_values(signature: Option<&Signature>) -> (Value, Value) {
    match signature {
        Some(Signature { key_id, code }) => (text(key_id), text(code)),
        None => (Value::Null, Value::Null),
    }
}
