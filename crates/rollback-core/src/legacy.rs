//! Releases saved by the original django-rollback 0.4.0, which stored only the newest row of each app.
//!
//! Its column `migrations` is JSON, `[[id, app, name], …]`: one entry an app, the row of `django_migrations` with the
//! highest id. It is still written, so that 0.4.0 can read the table. Reading it back, the whole applied set is rebuilt
//! if the ids leave no doubt.

use std::collections::BTreeMap;

use crate::applied::{AppliedRow, AppliedSet};
use crate::graph::Graph;
use crate::migration::MigrationId;

/// What the original stores for these rows, ordered by app.
pub fn newest_per_app(rows: &[AppliedRow]) -> String {
    let mut newest: BTreeMap<&str, &AppliedRow> = BTreeMap::new();
    for row in rows {
        let entry = newest.entry(&row.migration.app).or_insert(row);
        if row.id > entry.id {
            *entry = row;
        }
    }
    let entries: Vec<(i64, &str, &str)> = newest
        .values()
        .map(|row| (row.id, row.migration.app.as_str(), row.migration.name.as_str()))
        .collect();
    serde_json::to_string(&entries).expect("numbers and strings are always valid JSON")
}

/// Why the set that was applied at a release of 0.4.0 is uncertain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncertain {
    /// The column does not hold what the original writes.
    #[error("its list of migrations is damaged: {0}")]
    Damaged(String),
    /// The row that was the app's newest is gone, or the migration was applied again later.
    #[error(
        "{0} was the newest migration of its app then, and its row in django_migrations has changed since"
    )]
    RowChanged(MigrationId),
    /// The migration may have been applied then, undone, and applied again.
    #[error("{0} may have been applied, undone and applied again: rows are missing from django_migrations")]
    MaybeReapplied(MigrationId),
}

/// Rebuilds the set that was applied when the original stored `migrations`, from the rows that are there now.
///
/// Rows are inserted with rising ids. So while an app's newest row is still the same row, everything of that app
/// with a lower id was applied then, and everything with a higher id was not, unless a row was deleted and inserted
/// again. A gap among the ids betrays that; a migration that depends on the app's newest one is certain anyway. Rows of
/// `own_app` are never undone, so they need not be certain.
pub fn rebuild(
    migrations: &str,
    now: &[AppliedRow],
    graph: &Graph,
    own_app: &str,
) -> Result<AppliedSet, Uncertain> {
    let newest_rows = parse(migrations)?;
    let mut set = Vec::new();
    for (app, newest) in &newest_rows {
        let rows = now.iter().filter(|row| row.migration.app == *app);
        let (then, later): (Vec<_>, Vec<_>) = rows.partition(|row| row.id <= newest.id);
        if app != own_app {
            check_certain(newest, &later, now, graph)?;
        }
        set.extend(then.into_iter().map(|row| row.migration.clone()));
    }
    Ok(set.into_iter().collect())
}

fn check_certain(
    newest: &AppliedRow,
    later: &[&AppliedRow],
    now: &[AppliedRow],
    graph: &Graph,
) -> Result<(), Uncertain> {
    if !now.contains(newest) {
        return Err(Uncertain::RowChanged(newest.migration.clone()));
    }
    let doubtful = later.iter().find(|row| !graph.descends(&row.migration, &newest.migration));
    match doubtful {
        Some(row) if has_gaps(now, newest.id) => Err(Uncertain::MaybeReapplied(row.migration.clone())),
        _ => Ok(()),
    }
}

fn parse(migrations: &str) -> Result<BTreeMap<String, AppliedRow>, Uncertain> {
    let entries: Vec<(i64, String, String)> =
        serde_json::from_str(migrations).map_err(|error| Uncertain::Damaged(error.to_string()))?;
    if entries.is_empty() {
        return Err(Uncertain::Damaged("it lists no migration".to_owned()));
    }
    Ok(entries
        .into_iter()
        .map(|(id, app, name)| (app.clone(), AppliedRow { id, migration: MigrationId::new(app, name) }))
        .collect())
}

/// Whether ids up to `newest` are missing.
fn has_gaps(now: &[AppliedRow], newest: i64) -> bool {
    let present = now.iter().filter(|row| row.id <= newest).count();
    i64::try_from(present) != Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::MigrationFacts;
    use crate::testing::{id, ids, migrations};

    fn rows(text: &str) -> Vec<AppliedRow> {
        text.split_whitespace()
            .map(|word| {
                let (number, name) = word.split_once(':').unwrap();
                AppliedRow { id: number.parse().unwrap(), migration: id(name) }
            })
            .collect()
    }

    fn check(then: &str, now: &str, expected: Result<&str, Uncertain>) {
        let facts = migrations("a.1\na.2 < a.1\na.3 < a.2\na.2b < a.1\nb.1");
        let facts: Vec<&MigrationFacts> = facts.iter().collect();
        let graph = Graph::build(&facts, &Default::default(), &Default::default());
        let found = rebuild(&newest_per_app(&rows(then)), &rows(now), &graph, "own");
        assert_eq!(found, expected.map(|text| ids(text).into_iter().collect()));
    }

    #[test]
    fn the_original_form_of_the_column() {
        assert_eq!(newest_per_app(&rows("1:b.1 2:a.1 3:a.2")), r#"[[3,"a","2"],[1,"b","1"]]"#);
    }

    #[test]
    fn rows_that_only_grew_are_certain() {
        check("1:a.1 2:b.1", "1:a.1 2:b.1 3:a.2 4:a.2b", Ok("a.1 b.1"));
        check("1:a.1 2:a.2", "1:a.1 2:a.2 3:b.1", Ok("a.1 a.2"));
    }

    #[test]
    fn a_gap_matters_only_beside_the_newest() {
        check("2:a.1 3:a.2", "2:a.1 3:a.2 9:a.3", Ok("a.1 a.2"));
        check("2:a.1 3:a.2", "2:a.1 3:a.2 9:a.2b", Err(Uncertain::MaybeReapplied(id("a.2b"))));
    }

    #[test]
    fn our_own_rows_need_not_be_certain() {
        check("2:a.1 3:own.1", "2:a.1 7:own.1 9:own.2", Ok("a.1"));
        check("2:a.1 3:own.1", "2:a.1 3:own.1 9:own.2", Ok("a.1 own.1"));
    }

    #[test]
    fn a_newest_row_that_changed_is_not_certain() {
        check("1:a.1 2:a.2", "1:a.1 5:a.2", Err(Uncertain::RowChanged(id("a.2"))));
        check("1:a.1 2:a.2", "1:a.1", Err(Uncertain::RowChanged(id("a.2"))));
    }

    #[test]
    fn damage_is_reported() {
        for text in ["", "{}", "[[1,\"a\"]]", "[]", "[[\"1\",\"a\",\"b\"]]"] {
            assert!(
                matches!(rebuild(text, &[], &Graph::default(), "own"), Err(Uncertain::Damaged(_))),
                "{text}"
            );
        }
    }
}
