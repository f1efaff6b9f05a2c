//! SQLite's catalogue is the text of each `CREATE` statement, rewritten at each `ALTER`. Here the text is cut into
//! words, so that quotes, case of keywords, spaces and comments do not count. A table is cut into its definitions, so
//! that their order does not count.

use super::SchemaObject;
use crate::sql::words;

/// The objects in one row of `sqlite_master`.
pub fn objects(kind: &str, table: &str, name: &str, sql: &str) -> Vec<SchemaObject> {
    let mut words = words(sql);
    match kind {
        "table" => table_objects(table, &words),
        "index" => {
            // Its name is a field of its own.
            if let Some(place) = words.iter().position(|word| word == "index") {
                words.drain(place..words.len().min(place + 2));
            }
            vec![SchemaObject::new(kind, table, name, &words.join(" "))]
        }
        "trigger" => vec![SchemaObject::new(kind, table, name, &words.join(" "))],
        _ => vec![SchemaObject::new(kind, name, "", &words.join(" "))],
    }
}

fn table_objects(table: &str, words: &[String]) -> Vec<SchemaObject> {
    let Some(start) = words.iter().position(|word| word == "(") else {
        return vec![SchemaObject::new("table", table, "", &words.join(" "))];
    };
    let (definitions, options) = body(&words[start + 1..]);
    let mut objects = vec![SchemaObject::new("table", table, "", &options.join(" "))];
    objects.extend(
        definitions.into_iter().filter(|words| !words.is_empty()).map(|words| definition(table, words)),
    );
    objects
}

/// One definition of a table: a column, or a constraint of the table.
fn definition(table: &str, words: &[String]) -> SchemaObject {
    let (first, rest) = words.split_first().expect("an empty definition is none");
    match first.as_str() {
        "constraint" => {
            let (name, rest) = rest.split_first().map_or(("", rest), |(name, rest)| (name.as_str(), rest));
            SchemaObject::new("constraint", table, name, &rest.join(" "))
        }
        "unique" | "check" | "foreign" | "primary" => {
            SchemaObject::new("constraint", table, "", &words.join(" "))
        }
        column => SchemaObject::new("column", table, column.trim_matches('"'), &rest.join(" ")),
    }
}

/// The definitions between the brackets of a `CREATE TABLE`, and what follows them.
fn body(words: &[String]) -> (Vec<&[String]>, &[String]) {
    let (mut definitions, mut depth, mut start) = (Vec::new(), 1, 0);
    for (place, word) in words.iter().enumerate() {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "," if depth == 1 => {
                definitions.push(&words[start..place]);
                start = place + 1;
            }
            _ => {}
        }
        if depth == 0 {
            definitions.push(&words[start..place]);
            return (definitions, &words[place + 1..]);
        }
    }
    definitions.push(&words[start..]);
    (definitions, &[])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Schema;

    fn schema(rows: &[(&str, &str, &str, &str)]) -> Schema {
        rows.iter().flat_map(|(kind, table, name, sql)| objects(kind, table, name, sql)).collect()
    }

    #[test]
    fn quoting_spacing_comments_and_order_do_not_count() {
        let one = schema(&[
            (
                "table",
                "item",
                "item",
                r#"CREATE TABLE "item" ("id" integer NOT NULL PRIMARY KEY, "a" text CHECK ("a" <> 'x,''('), UNIQUE ("a"))"#,
            ),
            ("index", "item", "item_a", r#"CREATE INDEX "item_a" ON "item" ("a")"#),
        ]);
        let other = schema(&[
            ("index", "item", "item_a", "create index item_a on [item](`a`) -- fast"),
            (
                "table",
                "item",
                "item",
                "CREATE TABLE item (a text /* why */ check (\"a\"\n<> 'x,''('), id integer not null primary key, unique (a))",
            ),
        ]);
        assert_eq!(one.differences(&other), []);
    }

    #[test]
    fn a_table_is_its_definitions() {
        let rows = schema(&[(
            "table",
            "a",
            "a",
            r#"CREATE TABLE "a" ("x" decimal(5, 2), CONSTRAINT "positive" CHECK ("x" > 0)) STRICT"#,
        )]);
        let said: Vec<_> =
            rows.objects().iter().map(|o| format!("{} {} {}", o.kind, o.name, o.definition)).collect();
        assert_eq!(
            said,
            ["column x decimal ( 5 , 2 )", "constraint positive check ( x > 0 )", "table  strict"]
        );
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(kind in "table|index|view|trigger", sql in "(create |table |index |[\"'`(),\\[\\]x/*-]|\\PC){0,40}") {
            objects(&kind, "t", "n", &sql);
        }
    }
}
