//! Every rule's page in `docs/rules` keeps to its form, and its example is true: the older and the newer files of it
//! lead to the finding, and the fix does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollback_check::rules::RULES;
use rollback_check::{Checked, Range, Rule, check};
use rollback_core::MigrationId;
use rollback_revision::{File, Migrations, Read};
use rollback_source::{Paths, Places, Tree};

type Files = BTreeMap<String, String>;

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

fn findings(base: &Files, head: &Files) -> Vec<&'static str> {
    let Checked { findings, .. } = checked(base, head);
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding.rule.code).collect();
    codes.dedup();
    codes
}

fn checked(base: &Files, head: &Files) -> Checked {
    let paths: Vec<String> = head.keys().cloned().collect();
    let paths = Paths::new(&paths);
    check(&Range {
        base: &release(base),
        head: &release(head),
        is_project: &|module| paths.has_module(module),
        database: None,
    })
}

fn release(files: &Files) -> Migrations {
    let paths: Vec<String> = files.keys().cloned().collect();
    let texts: Vec<&String> = files.values().collect();
    let read = |index: usize| Some(texts[index].clone());
    let paths = Paths::new(&paths);
    let tree = Tree::new(&paths, &read);
    let mut release = Migrations::default();
    for package in tree.packages(&Places::default()) {
        for (name, index) in &package.migrations {
            let id = MigrationId::new(&package.app, name);
            let text = texts[*index].clone();
            let file = File { path: paths.path(*index).to_owned(), hash: text.clone() };
            release.files.insert(id.clone(), file);
            let source = rollback_source::read(&package.module(name), &text, &tree);
            release.read.insert(id, Arc::new(Read { text, source }));
        }
    }
    release
}
