//! The effects of a whole plan, in the names that tables and columns have now.

use std::collections::{BTreeMap, BTreeSet};

use crate::migration::MigrationId;

use super::{Change, Effect, Rule};

/// Data that a plan drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// The migration whose undoing drops it.
    pub migration: MigrationId,
    /// The table, as it is called now.
    pub table: String,
    /// The column, as it is called now; `None` if the whole table goes.
    pub column: Option<String>,
    /// A column of the table with the time of a row's last change.
    pub written_at: Option<String>,
    /// Whether that time is stored without its zone, as local time.
    pub local_time: bool,
}

/// Something that the rows must satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The migration whose undoing requires it.
    pub migration: MigrationId,
    /// The table, as it is called now.
    pub table: String,
    /// The columns, as they are called now; empty if the table must be empty.
    pub columns: Vec<String>,
    /// What is required; `None` if the table must be empty.
    pub rule: Option<Rule>,
    /// Whether code runs before it, which may still change the rows.
    pub after_code: bool,
}

/// All effects of a plan, in the names of now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The tables of now that are altered or dropped, or that such a table refers to.
    pub tables: BTreeSet<String>,
    /// The data that goes, in the order of the steps. A column that goes with its table is not listed again.
    pub drops: Vec<Drop>,
    /// What the rows must satisfy.
    pub requirements: Vec<Requirement>,
    /// Whether code of the project or custom SQL runs.
    pub runs_code: bool,
    /// Whether the steps may have effects that no operation of Django reports.
    pub is_opaque: bool,
    /// Every table that a step names, by all its names. Unless the plan is opaque, no other table is touched.
    pub names: BTreeSet<String>,
}

impl Effects {
    /// Follows the effects in their order, through renames back to the names of now. A table that an earlier step
    /// creates does not exist now: there is nothing in it to lose or to lock.
    pub fn of(effects: &[Effect]) -> Self {
        let mut walk = Walk::default();
        for effect in effects {
            walk.take(effect);
        }
        let Walk { mut found, .. } = walk;
        let dropped: BTreeSet<String> =
            found.drops.iter().filter(|drop| drop.column.is_none()).map(|drop| drop.table.clone()).collect();
        found.drops.retain(|drop| drop.column.is_none() || !dropped.contains(&drop.table));
        found
    }
}

/// The walk through the effects: what everything was called at its beginning.
#[derive(Default)]
struct Walk {
    /// Name of now by the name on the way; `None` for a table that does not exist now.
    tables: BTreeMap<String, Option<String>>,
    /// As `tables`, by the table's name on the way and the column's.
    columns: BTreeMap<(String, String), Option<String>>,
    found: Effects,
}

impl Walk {
    fn table(&self, table: &str) -> Option<String> {
        self.tables.get(table).cloned().unwrap_or_else(|| Some(table.to_owned()))
    }

    fn column(&self, table: &str, column: &str) -> Option<String> {
        let key = (table.to_owned(), column.to_owned());
        self.columns.get(&key).cloned().unwrap_or_else(|| Some(column.to_owned()))
    }

    fn lock(&mut self, table: &str) {
        self.found.tables.extend(self.table(table));
    }

    fn take(&mut self, effect: &Effect) {
        let migration = &effect.migration;
        self.found.names.extend(effect.change.tables().map(str::to_owned));
        match &effect.change {
            Change::DropTable { table, written_at, local_time } => {
                self.drop(migration, table, None, (written_at.as_deref(), *local_time));
            }
            Change::DropColumn { table, column, written_at, local_time } => {
                self.drop(migration, table, Some(column), (written_at.as_deref(), *local_time));
            }
            Change::CreateTable { table } => self.forget(table),
            Change::CreateColumn { table, column, needs_empty } => {
                if *needs_empty {
                    self.require(migration, table, &[], None);
                }
                self.lock(table);
                self.columns.insert((table.clone(), column.clone()), None);
            }
            Change::RenameTable { table, to } if table != to => self.rename_table(table, to),
            Change::RenameColumn { table, column, to } if column != to => {
                self.lock(table);
                let now = self.column(table, column);
                self.columns.insert((table.clone(), to.clone()), now);
                self.columns.insert((table.clone(), column.clone()), None);
            }
            Change::Alter { table }
            | Change::RenameTable { table, .. }
            | Change::RenameColumn { table, .. } => self.lock(table),
            Change::Require { table, columns, rule } => self.require(migration, table, columns, Some(rule)),
            Change::RunCode => {
                self.found.runs_code = true;
                self.found.is_opaque = true;
            }
            Change::LeaveBehind => self.found.is_opaque = true,
        }
    }

    fn drop(
        &mut self,
        migration: &MigrationId,
        table: &str,
        column: Option<&String>,
        (written_at, local_time): (Option<&str>, bool),
    ) {
        self.lock(table);
        let now = self.table(table);
        let column_now = column.map(|column| self.column(table, column));
        let written_at = written_at.and_then(|column| self.column(table, column));
        match column {
            Some(column) => self.columns.insert((table.to_owned(), column.clone()), None),
            None => {
                self.forget(table);
                None
            }
        };
        let (Some(now), None | Some(Some(_))) = (now, &column_now) else { return };
        let drop = Drop {
            migration: migration.clone(),
            table: now,
            column: column_now.flatten(),
            written_at,
            local_time,
        };
        self.found.drops.push(drop);
    }

    fn require(&mut self, migration: &MigrationId, table: &str, columns: &[String], rule: Option<&Rule>) {
        self.lock(table);
        let columns: Option<Vec<String>> = columns.iter().map(|column| self.column(table, column)).collect();
        let (Some(now), Some(columns)) = (self.table(table), columns) else { return };
        self.found.requirements.push(Requirement {
            migration: migration.clone(),
            table: now,
            columns,
            rule: rule.cloned(),
            after_code: self.found.runs_code,
        });
    }

    fn rename_table(&mut self, table: &str, to: &str) {
        self.lock(table);
        let now = self.table(table);
        let of_table = self.columns.iter().filter(|((owner, _), _)| owner == table);
        let moved: Vec<_> = of_table.map(|((_, column), now)| (column.clone(), now.clone())).collect();
        self.forget(table);
        self.forget(to);
        self.tables.insert(to.to_owned(), now);
        for (column, now) in moved {
            self.columns.insert((to.to_owned(), column), now);
        }
    }

    /// From here on the name means no table of now, nor any of its columns.
    fn forget(&mut self, table: &str) {
        self.columns.retain(|(owner, _), _| owner != table);
        self.tables.insert(table.to_owned(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(lines: &str) -> Effects {
        let changes = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let parsed = changes.map(|line| Effect {
            migration: MigrationId::new("shop", "0002"),
            change: serde_json::from_str(line).expect("a change"),
        });
        Effects::of(&parsed.collect::<Vec<_>>())
    }

    fn drops(effects: &Effects) -> Vec<String> {
        let name = |drop: &Drop| match &drop.column {
            Some(column) => format!("{}.{column}", drop.table),
            None => drop.table.clone(),
        };
        effects.drops.iter().map(name).collect()
    }

    #[test]
    fn names_are_those_of_now() {
        let found = effects(
            r#"{"kind": "rename-table", "table": "shop_product", "to": "shop_item"}
               {"kind": "rename-column", "table": "shop_item", "column": "title", "to": "name"}
               {"kind": "drop-column", "table": "shop_item", "column": "price"}
               {"kind": "require", "table": "shop_item", "columns": ["name"], "rule": "length", "most": 20}
               {"kind": "drop-column", "table": "shop_item", "column": "name"}"#,
        );
        assert_eq!(drops(&found), ["shop_product.price", "shop_product.title"]);
        assert_eq!(found.tables.iter().collect::<Vec<_>>(), ["shop_product"]);
        assert_eq!(found.names.iter().collect::<Vec<_>>(), ["shop_item", "shop_product"]);
        assert_eq!(found.requirements[0].columns, ["title"]);
        assert_eq!(found.requirements[0].rule, Some(Rule::Length { most: 20 }));
    }

    #[test]
    fn what_a_step_brings_back_and_another_drops_is_no_loss() {
        let found = effects(
            r#"{"kind": "create-column", "table": "a", "column": "x"}
               {"kind": "create-table", "table": "b"}
               {"kind": "require", "table": "a", "columns": ["x"], "rule": "not-null"}
               {"kind": "drop-column", "table": "a", "column": "x"}
               {"kind": "drop-table", "table": "b"}"#,
        );
        assert_eq!((drops(&found), found.requirements.len()), (vec![], 0));
    }

    #[test]
    fn a_name_that_is_used_again_stands_for_another_table() {
        let found = effects(
            r#"{"kind": "drop-column", "table": "item", "column": "price"}
               {"kind": "drop-table", "table": "item"}
               {"kind": "rename-table", "table": "former", "to": "item"}
               {"kind": "rename-column", "table": "item", "column": "cost", "to": "cost"}
               {"kind": "drop-column", "table": "item", "column": "price"}
               {"kind": "drop-column", "table": "item", "column": "cost"}"#,
        );
        assert_eq!(drops(&found), ["item", "former.price", "former.cost"]);
    }

    #[test]
    fn a_column_that_goes_with_its_table_is_told_once() {
        let found = effects(
            r#"{"kind": "drop-column", "table": "a", "column": "x"}
               {"kind": "drop-table", "table": "a"}"#,
        );
        assert_eq!(drops(&found), ["a"]);
    }

    #[test]
    fn code_before_a_requirement_may_still_meet_it() {
        let found = effects(
            r#"{"kind": "require", "table": "a", "columns": ["x"], "rule": "not-null"}
               {"kind": "run-code"}
               {"kind": "require", "table": "a", "columns": ["x"], "rule": "unique"}
               {"kind": "create-column", "table": "a", "column": "y", "needs_empty": true}"#,
        );
        assert!(found.runs_code);
        assert_eq!(
            found.requirements.iter().map(|one| one.after_code).collect::<Vec<_>>(),
            [false, true, true]
        );
    }

    #[test]
    fn only_effects_that_django_reports_leave_nothing_open() {
        let found = effects(
            r#"{"kind": "alter", "table": "a"}
               {"kind": "rename-table", "table": "b", "to": "c"}"#,
        );
        assert!(!found.is_opaque && !found.runs_code);
        assert_eq!(found.names, ["a", "b", "c"].map(str::to_owned).into());
        let left = effects(r#"{"kind": "leave-behind"}"#);
        assert!(left.is_opaque && !left.runs_code);
        let code = effects(r#"{"kind": "run-code"}"#);
        assert!(code.is_opaque && code.runs_code);
    }

    #[test]
    fn only_tables_of_now_are_locked() {
        let found = effects(
            r#"{"kind": "create-table", "table": "new"}
               {"kind": "alter", "table": "new"}
               {"kind": "rename-table", "table": "old", "to": "young"}
               {"kind": "alter", "table": "young"}
               {"kind": "require", "table": "kind", "columns": ["x"], "rule": "not-null"}"#,
        );
        assert_eq!(found.tables, ["kind", "old"].map(str::to_owned).into());
    }
}
