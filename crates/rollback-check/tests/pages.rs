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
