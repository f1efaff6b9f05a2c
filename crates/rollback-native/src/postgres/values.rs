//! The port's values as typed parameters, and the columns of a row as the port's values.

use postgres::types::{FromSql, ToSql, Type};
use rollback_engine::ports::{DatabaseError, DatabaseErrorKind, Row, Value};

use super::failure::failure;

/// A parameter and the type that the server is told.
type Typed<'a> = (&'a (dyn ToSql + Sync), Type);

/// Gives each parameter its type. `NULL` has none: the server uses the type of the column.
pub(super) fn typed(params: &[Value]) -> Vec<Typed<'_>> {
    params.iter().map(typed_value).collect()
}

fn typed_value(value: &Value) -> Typed<'_> {
    match value {
        Value::Null => (&None::<&str>, Type::UNKNOWN),
        Value::Int(number) => (number, Type::INT8),
        Value::Text(text) => (text, Type::TEXT),
    }
}

/// Reads a row. A type that the engine's statements do not use is an error.
pub(super) fn row(row: &postgres::Row) -> Result<Row, DatabaseError> {
    (0..row.len()).map(|index| value(row, index)).collect()
}

fn value(row: &postgres::Row, index: usize) -> Result<Value, DatabaseError> {
    let column = &row.columns()[index];
    match *column.type_() {
        Type::BOOL => read(row, index, |truth: bool| Value::Int(truth.into())),
        Type::INT2 => read(row, index, |number: i16| Value::Int(number.into())),
        Type::INT4 => read(row, index, |number: i32| Value::Int(number.into())),
        Type::INT8 => read(row, index, Value::Int),
        Type::OID => read(row, index, |number: u32| Value::Int(number.into())),
        // One byte, which the driver reads as a number.
        Type::CHAR => read(row, index, |byte: i8| Value::Text(char::from(byte.cast_unsigned()).into())),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            read(row, index, Value::Text)
        }
        ref other => {
            let message =
                format!("the column \"{}\" has the type {other}, which is not supported", column.name());
            Err(DatabaseError::new(DatabaseErrorKind::Other, &message))
        }
    }
}

fn read<'row, T: FromSql<'row>>(
    row: &'row postgres::Row,
    index: usize,
    wrap: impl Fn(T) -> Value,
) -> Result<Value, DatabaseError> {
    let value: Option<T> = row.try_get(index).map_err(|error| failure(&error))?;
    Ok(value.map_or(Value::Null, wrap))
}
