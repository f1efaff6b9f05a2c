//! SQL text, as far as a rule has to look into it: what a statement does, what no transaction allows, and what may be
//! shown of it.

mod token;

pub(crate) use token::words;
use token::{Kind, Token, tokens};

/// The text in one line, without values: they may be the contents of rows.
pub fn without_values(sql: &str) -> String {
    let shown = tokens(sql).into_iter().map(|Token { kind, text }| match kind {
        Kind::Nothing => " ",
        Kind::Text | Kind::Number => "?",
        Kind::Name(_) | Kind::Other => text,
    });
    shown.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a statement does, as far as constraints that are checked at the end depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// It changes the schema.
    Schema,
    /// It only reads, or is about the transaction.
    Question,
    /// It changes rows, or it may do anything.
    Change,
}

impl Statement {
    /// What the statement does, by its first word.
    pub fn of(sql: &str) -> Self {
        match words(sql).first().map(String::as_str) {
            Some("alter" | "drop" | "create" | "truncate" | "comment") => Self::Schema,
            Some("select" | "set" | "savepoint" | "release") => Self::Question,
            _ => Self::Change,
        }
    }
}

/// The text without the `CONCURRENTLY` of an index, which no transaction allows.
pub fn without_concurrently(sql: &str) -> String {
    let mut before: Vec<String> = Vec::new();
    let mut text = String::with_capacity(sql.len());
    for Token { kind, text: piece } in tokens(sql) {
        let word = piece.to_lowercase();
        let follows_index = matches!(&before[..], [first, .., last]
            if last == "index" && (first == "create" || first == "drop") && before.len() <= 3);
        if kind == Kind::Other && word == "concurrently" && follows_index {
            continue;
        }
        match piece {
            ";" => before.clear(),
            _ if kind != Kind::Nothing => before.push(word),
            _ => {}
        }
        text.push_str(piece);
    }
    text
}

/// Whether this is how Django's schema editor for SQLite gives a remade table its own name back.
pub fn renames_remade_table(sql: &str) -> bool {
    sql.starts_with("ALTER TABLE \"new__")
}

/// How statements begin that PostgreSQL refuses inside a transaction, by its documentation, or that would end ours.
const REFUSED: &[&[&str]] = &[
    &["vacuum"],
    &["create", "database"],
    &["drop", "database"],
    &["create", "tablespace"],
    &["drop", "tablespace"],
    &["alter", "system"],
    &["reindex", "database"],
    &["reindex", "system"],
    &["create", "subscription"],
    &["drop", "subscription"],
    &["begin"],
    &["start", "transaction"],
    &["commit"],
    &["end"],
    &["rollback"],
    &["abort"],
];

/// The first words of the first statement that cannot be inside a transaction. The `CONCURRENTLY` of an index is
/// allowed: inside a transaction the plain operation replaces it.
pub(crate) fn refuses_transaction(sql: &str) -> Option<String> {
    let words = words(sql);
    let mut statements = words.split(|word| word == ";");
    let mut is_in_trigger = false;
    let refused = statements.find(|statement| {
        // The body of a trigger of SQLite has statements of its own, up to its END.
        let was_in_trigger = is_in_trigger;
        is_in_trigger = if is_in_trigger {
            statement.first().is_some_and(|word| word != "end")
        } else {
            makes_trigger_with_body(statement)
        };
        !is_in_trigger && !was_in_trigger && is_refused(statement)
    })?;
    Some(refused.iter().take(3).map(|word| word.to_uppercase()).collect::<Vec<_>>().join(" "))
}

fn makes_trigger_with_body(statement: &[String]) -> bool {
    let mut words = statement
        .iter()
        .map(String::as_str)
        .skip_while(|word| matches!(*word, "create" | "temp" | "temporary"));
    statement.first().is_some_and(|word| word == "create")
        && words.next() == Some("trigger")
        && statement.iter().any(|word| word == "begin")
}

fn is_refused(statement: &[String]) -> bool {
    let begins =
        |words: &&[&str]| statement.len() >= words.len() && statement.iter().zip(*words).all(|(a, b)| a == b);
    let concurrently = statement.iter().any(|word| word == "concurrently");
    let savepoint = statement.iter().any(|word| word == "to" || word == "prepared");
    let is_index = is_index_statement(statement);
    (REFUSED.iter().any(begins) && !savepoint)
        || (concurrently && !is_index && !statement.starts_with(&["refresh".to_owned()]))
}

/// Whether a statement in the text may delete rows or values.
pub(crate) fn may_remove_data(sql: &str) -> bool {
    words(sql).split(|word| word == ";").any(|statement| {
        let mut pairs = statement.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        let begins = statement.first().map(String::as_str);
        matches!(begins, Some("delete" | "truncate"))
            || pairs.any(|pair| {
                matches!(pair, ("drop", "table" | "column" | "schema" | "materialized") | ("delete", "from"))
            })
    })
}

/// Whether the text only creates and drops indexes.
pub(crate) fn only_indexes(sql: &str) -> bool {
    words(sql)
        .split(|word| word == ";")
        .all(|statement| statement.is_empty() || is_index_statement(statement))
}

fn is_index_statement(statement: &[String]) -> bool {
    let words: Vec<&str> = statement.iter().take(3).map(String::as_str).collect();
    matches!(words[..], ["create" | "drop", "index", ..] | ["create", "unique", "index", ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_trigger_ends_no_transaction() {
        let trigger = "CREATE TRIGGER a AFTER INSERT ON b BEGIN UPDATE b SET c = 1; DELETE FROM d; END";
        assert_eq!(refuses_transaction(trigger), None);
        assert_eq!(refuses_transaction(&format!("{trigger}; END")).as_deref(), Some("END"));
        assert_eq!(
            refuses_transaction("CREATE TRIGGER a AFTER INSERT ON b EXECUTE FUNCTION f(); COMMIT").as_deref(),
            Some("COMMIT")
        );
    }

    #[test]
    fn concurrent_indexes_become_plain_ones() {
        for (sql, plain) in [
            ("CREATE INDEX CONCURRENTLY \"a\" ON b (c)", "CREATE INDEX  \"a\" ON b (c)"),
            ("create unique index concurrently a on b (c)", "create unique index  a on b (c)"),
            ("DROP INDEX CONCURRENTLY IF EXISTS a", "DROP INDEX  IF EXISTS a"),
            ("SELECT 1; DROP INDEX /* x */ CONCURRENTLY a", "SELECT 1; DROP INDEX /* x */  a"),
            ("INSERT INTO index concurrently", "INSERT INTO index concurrently"),
            ("CREATE INDEX a ON b (concurrently)", "CREATE INDEX a ON b (concurrently)"),
        ] {
            assert_eq!(without_concurrently(sql), plain);
        }
    }

    #[test]
    fn statements_are_told_by_their_first_word() {
        assert_eq!(Statement::of("-- x\n ALTER TABLE a"), Statement::Schema);
        assert_eq!(Statement::of("SELECT 1"), Statement::Question);
        assert_eq!(Statement::of("/* x */ update a set b = 1"), Statement::Change);
        assert_eq!(Statement::of("WITH a AS (DELETE FROM b RETURNING c) SELECT 1"), Statement::Change);
    }

    #[test]
    fn statements_that_cannot_be_in_a_transaction_are_found() {
        for (sql, found) in [
            ("VACUUM ANALYZE shop_item", Some("VACUUM ANALYZE SHOP_ITEM")),
            ("UPDATE a SET b = 1; /* then */ vacuum a;", Some("VACUUM A")),
            ("ALTER SYSTEM SET x = 1", Some("ALTER SYSTEM SET")),
            ("REINDEX TABLE CONCURRENTLY a", Some("REINDEX TABLE CONCURRENTLY")),
            ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", Some("ALTER TABLE A")),
            ("COMMIT", Some("COMMIT")),
            ("DROP INDEX CONCURRENTLY IF EXISTS a", None),
            ("CREATE UNIQUE INDEX CONCURRENTLY a ON b (c)", None),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", None),
            ("ROLLBACK TO SAVEPOINT a", None),
            ("UPDATE a SET b = 'vacuum; commit'", None),
            ("CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; COMMIT; END $body$ LANGUAGE plpgsql", None),
            ("-- vacuum\nSELECT 1", None),
            ("", None),
        ] {
            assert_eq!(refuses_transaction(sql).as_deref(), found, "{sql}");
        }
    }

    #[test]
    fn values_are_not_shown() {
        for (sql, shown) in [
            ("SELECT  *\nFROM a1 WHERE b = 'O''Hara' AND c > 12.5", "SELECT * FROM a1 WHERE b = ? AND c > ?"),
            (
                "SELECT \"a 1\", $1 FROM e_2 WHERE x = -3 -- his name",
                "SELECT \"a 1\", $1 FROM e_2 WHERE x = -?",
            ),
            (r"SELECT E'it\'s a secret', $$or this$$, $t$that$t$", "SELECT E?, ?, ?"),
            ("UPDATE a SET b = 'cut off", "UPDATE a SET b = ?"),
        ] {
            assert_eq!(without_values(sql), shown);
        }
    }

    #[test]
    fn statements_that_may_remove_data_are_told_from_others() {
        for sql in ["DROP TABLE a", "ALTER TABLE a DROP COLUMN b", "SELECT 1; DELETE FROM a", "TRUNCATE a"] {
            assert!(may_remove_data(sql), "{sql}");
        }
        for sql in ["DROP VIEW a", "DROP INDEX a", "UPDATE a SET b = 1", "SELECT 'drop table a'"] {
            assert!(!may_remove_data(sql), "{sql}");
        }
    }

    #[test]
    fn index_statements_are_told_from_others() {
        assert!(only_indexes("CREATE INDEX CONCURRENTLY a ON b (c); DROP INDEX d;"));
        assert!(!only_indexes("DROP INDEX d; UPDATE a SET b = 1"));
    }
}
