//! Every rule's page in `docs/rules` keeps to its form, and its example is true: the older and the newer files of it
//! lead to the finding, and the fix does not.

mod common;

use common::{Files, checked};
use rollback_check::Rule;
use rollback_check::rules::RULES;

/// The files of a page's example.
#[derive(Default)]
struct Example {
    base: Files,
    head: Files,
    fixed: Option<Files>,
}

#[test]
fn every_page_has_its_form() {
    for rule in RULES {
        let mut lines = rule.page.lines();
        assert_eq!(lines.next(), Some(format!("# {}: {}", rule.code, rule.name).as_str()));
        let headings: Vec<&str> = rule.page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings[..3], ["## Example", "## Fix", "## Why"], "{}", rule.code);
        assert!(matches!(headings[3..], [] | ["## Before"]), "{}: {headings:?}", rule.code);
    }
}

#[test]
fn the_list_of_rules_is_that_of_the_code() {
    let list = include_str!("../../../docs/rules/README.md");
    for Rule { code, name, level, summary, .. } in RULES.iter().copied() {
        let row = format!("| [{code}]({code}.md) | `{name}` | {} | {summary} |\n", level.as_str());
        assert!(list.contains(&row), "docs/rules/README.md has another row than {row}");
    }
}

#[test]
fn every_example_is_found() {
    for rule in RULES {
        let example = example(rule);
        let found = findings(&example.base, &example.head);
        assert!(found.contains(&rule.code), "{}: only {found:?}", rule.code);
    }
}

/// What each example leads to, and what to do about it.
#[test]
fn every_finding_says_what_happens_and_what_to_do() {
    let mut said = String::new();
    for rule in RULES {
        let example = example(rule);
        let findings = checked(&example.base, &example.head, None).findings;
        let finding = findings.iter().find(|finding| finding.rule == *rule).unwrap();
        said += &format!("{} {}\n    {}\n", rule.code, finding.message, finding.hint);
    }
    assert_eq!(said, SAID);
}

#[test]
fn every_fix_is_one() {
    for rule in RULES {
        let example = example(rule);
        let Some(fixed) = &example.fixed else { continue };
        let found = findings(&example.base, fixed);
        assert!(!found.contains(&rule.code), "{}: still {found:?}", rule.code);
    }
}

#[test]
fn nothing_new_is_nothing_to_say() {
    for rule in RULES {
        let example = example(rule);
        assert_eq!(findings(&example.base, &example.base), [] as [&str; 0], "{}", rule.code);
    }
}

fn example(rule: &Rule) -> Example {
    let mut example = Example::default();
    let (mut newer, mut fixed, mut deleted) = (Files::new(), Files::new(), Vec::new());
    let mut blocks = rule.page.split("\n```");
    while let Some(block) = blocks.next() {
        let (info, text) = block.split_once('\n').unwrap_or((block, ""));
        let text = text.to_owned() + "\n";
        match info.split(' ').collect::<Vec<_>>()[..] {
            ["python", "BASE", path] => drop(example.base.insert(path.to_owned(), text)),
            ["python", "HEAD", path] => drop(newer.insert(path.to_owned(), text)),
            ["python", "FIXED", path] => drop(fixed.insert(path.to_owned(), text)),
            ["text", "DELETED", path] => deleted.push(path.to_owned()),
            _ => continue,
        }
        blocks.next(); // what stands behind the block
    }
    for package in ["shop/__init__.py", "shop/migrations/__init__.py"] {
        example.base.entry(package.to_owned()).or_default();
    }
    example.head = example.base.clone();
    example.head.extend(newer);
    example.head.retain(|path, _| !deleted.contains(path));
    if !fixed.is_empty() {
        let mut head = example.head.clone();
        head.extend(fixed);
        example.fixed = Some(head);
    }
    example
}

/// The codes of the rules that find something.
fn findings(base: &Files, head: &Files) -> Vec<&'static str> {
    let mut codes: Vec<&str> = checked(base, head, None).findings.iter().map(|each| each.rule.code).collect();
    codes.dedup();
    codes
}

const SAID: &str = r#"RB001 shop.0002_item_stock is not valid Python: Expected `,`, found `]`
    fix the file so that Django can import it
RB002 an operation of shop.0002_fillfactor is unknown: it depends on the kind of database
    run `manage.py rollback check`, which asks Django
RB011 RunPython add of shop.0002_new_tag has no reverse_code
    add `reverse_code`: `RunPython.noop` if nothing needs undoing
RB012 a rollback drops the column item.note and all data in it
    export the data before a rollback if you need it
RB013 a rollback restores the column item.note without its data
    remove it in a later release, when you no longer need to go back
RB014 a rollback fails if item has rows: item.stock is NOT NULL and has no default
    give the field a default before you remove it
RB021 the older code still reads the column item.stock
    remove the field from the state first (`state_operations`), and drop the column in the next release
RB022 the older code still uses the table of shop.Note
    remove the model from the state first (`state_operations`), and drop the table in the next release
RB023 the older code cannot insert into item: it does not fill stock, which is NOT NULL and has no default in the database
    set `db_default`, or use `null=True` for one release
RB024 the older code still uses the column name of item, which becomes title
    keep the name in the database with `db_column` or `db_table`
RB025 item.name accepts less than before (20 characters instead of 100): the older code may write more
    first deploy code that writes only what fits
RB026 the older code may write rows that violate UniqueConstraint item_name_unique
    first deploy code that complies, then add the constraint
RB031 shop.0001_initial was edited after it was released: databases that applied it do not get the change
    restore the file, and put the change into a new migration
RB032 shop.0002_item_stock was deleted after it was released: databases that applied it cannot be rolled back past it
    restore the file, or squash it
RB033 shop.0002_alter_item has the name of a released migration, but other operations: databases that applied that one skip it
    restore the released file, and give the new migration another name
RB034 shop.0001_initial was deleted in the release that adds its squash, shop.0001_squashed_0002_item_stock
    keep the file until every database has had a release with the squash
RB041 shop.0002_item_stock runs outside a transaction: if it fails, part of it stays applied
    keep only operations in it that need this and can safely run twice
RB042 PostgreSQL rewrites the table and blocks reads and writes meanwhile: the type of item.sold changes
    add a new column, fill it in batches, then switch to it
RB043 PostgreSQL blocks writes to the table of item while it builds the index
    use `AddIndexConcurrently`, in a migration with `atomic = False`
RB051 shop.0002_plain_names imports shop.names, which another release may not have
    copy what the migration needs into its file
RB061 shop has more than one leaf node: 0002_item_note and 0002_item_stock
    run `manage.py makemigrations --merge`
RB062 shop.0003_item_note depends on shop.0002_item_stock, which does not exist
    depend on an existing migration, or restore the missing file
RB063 migrations depend on each other in a circle: shop.0003_item_stock, shop.0002_item_note
    move an operation into a separate migration to break the circle
"#;
