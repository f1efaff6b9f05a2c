//! SQL text, as far as a rule needs to look into it: its words, and what a database does not do in a transaction.

/// The words of SQL text (<https://www.sqlite.org/lang_expr.html>,
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>): keywords and bare names in lower case, quoted
/// names without their quotes, texts with theirs, every other character for itself.
pub(crate) fn words(sql: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), sql);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted(rest, '\''),
            '"' | '`' => quoted(rest, first),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
            '$' if dollar_quoted(rest).is_some() => dollar_quoted(rest).unwrap_or(rest.len()),
            _ if is_part_of_a_word(first) => {
                rest.find(|character| !is_part_of_a_word(character)).unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        match first {
            '"' | '`' => {
                words.push(word.trim_matches(first).replace(&format!("{first}{first}"), &first.to_string()));
            }
            '[' => words.push(word.trim_matches(['[', ']']).to_owned()),
            '\'' | '$' => words.push(word.to_owned()),
            _ if word.starts_with("--") || word.starts_with("/*") || first.is_whitespace() => {}
            _ => words.push(word.to_lowercase()),
        }
        rest = after;
    }
    words
}

fn is_part_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// The length of the quoted word that the text begins with; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> usize {
    let mut places = text.char_indices().skip(1).peekable();
    while let Some((place, character)) = places.next() {
        if character != quote {
            continue;
        }
        if places.peek().is_some_and(|(_, next)| *next == quote) {
            places.next();
        } else {
            return place + character.len_utf8();
        }
    }
    text.len()
}

/// The length of a text that PostgreSQL quotes with dollars, `$tag$ … $tag$`, if it begins with one.
fn dollar_quoted(text: &str) -> Option<usize> {
    let end_of_tag = 1 + text[1..].find('$')?;
    let tag = &text[..=end_of_tag];
    let is_tag = tag[1..end_of_tag].chars().all(|character| character.is_alphanumeric() || character == '_');
    let body = &text[tag.len()..];
    is_tag.then(|| body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
}

/// The beginnings of statements that PostgreSQL refuses inside a transaction (its documentation says so of each), and
/// of those that would end ours.
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

/// The first statement in the text that cannot be inside a transaction, by its first words. A `CONCURRENTLY` of an
/// index is none: inside a transaction the plain operation takes its place.
pub(crate) fn refuses_transaction(sql: &str) -> Option<String> {
    let words = words(sql);
    let mut statements = words.split(|word| word == ";");
    let refused = statements.find(|statement| is_refused(statement))?;
    Some(refused.iter().take(3).map(|word| word.to_uppercase()).collect::<Vec<_>>().join(" "))
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

/// Whether the text does nothing but make and drop indexes.
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
    fn index_statements_are_told_from_others() {
        assert!(only_indexes("CREATE INDEX CONCURRENTLY a ON b (c); DROP INDEX d;"));
        assert!(!only_indexes("DROP INDEX d; UPDATE a SET b = 1"));
    }
}
