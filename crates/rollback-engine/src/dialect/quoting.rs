//! Names and values as SQL.

use crate::ports::Value;

/// A name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Texts as a list in SQL; `NULL` for an empty one, as `IN ()` is not valid.
pub(crate) fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.map(literal).collect();
    if texts.is_empty() { "NULL".to_owned() } else { texts.join(", ") }
}

/// The statement with its values in the places of `$1`, `$2`, ….
pub(crate) fn with_values(sql: &str, params: &[Value]) -> String {
    // Each parameter occurs once and in order. Going from the last to the first, `$1` is not mistaken for a part of
    // `$10`, and no inserted value is searched again.
    let (mut head, mut tail) = (sql.to_owned(), String::new());
    for (place, value) in params.iter().enumerate().rev() {
        let mark = format!("${}", place + 1);
        let Some(at) = head.rfind(&mark) else { continue };
        let value = match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => literal(text),
        };
        tail = format!("{value}{}{tail}", &head[at + mark.len()..]);
        head.truncate(at);
    }
    head + &tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_inserted_once_and_not_searched_again() {
        let values = [Value::Text("it's $2 $1".to_owned()), Value::Int(7), Value::Null];
        assert_eq!(
            with_values("INSERT INTO a VALUES ($1, $2, $3)", &values),
            "INSERT INTO a VALUES ('it''s $2 $1', 7, NULL)"
        );
    }

    #[test]
    fn the_tenth_parameter_is_not_the_first() {
        let values: Vec<Value> = (1..=10).map(Value::Int).collect();
        let sql = "$1 $2 $3 $4 $5 $6 $7 $8 $9 $10";
        assert_eq!(with_values(sql, &values), "1 2 3 4 5 6 7 8 9 10");
    }

    #[test]
    fn quotes_in_names_and_texts_are_doubled() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(list(["a", "b"].into_iter()), "'a', 'b'");
        assert_eq!(list([].into_iter()), "NULL");
    }
}
