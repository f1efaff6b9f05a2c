//! How often each rule has found something.

use std::collections::BTreeMap;

use rollback_check::{Finding, Level, Rule};
use serde_json::{Value, json};

use super::report::Report;
use crate::document::document;
use crate::table;

/// A table of the rules that have found something, the most frequent first.
pub fn statistics(report: &Report<'_>) -> String {
    if report.findings.is_empty() {
        return "No findings.\n".to_owned();
    }
    let rows = counts(report.findings).into_iter().map(|Count { number, rule, level }| {
        vec![number.to_string(), rule.code.to_owned(), rule.name.to_owned(), level.as_str().to_owned()]
    });
    table::render(&["COUNT", "CODE", "NAME", "LEVEL"], rows)
}

/// The same as a document.
pub fn statistics_document(report: &Report<'_>) -> Value {
    let count = |Count { number, rule, level }| json!({ "code": rule.code, "name": rule.name, "level": level.as_str(), "count": number });
    document(json!({
        "base": report.base, "head": report.head, "migrations": report.migrations,
        "suppressed": report.suppressed,
        "statistics": counts(report.findings).into_iter().map(count).collect::<Vec<_>>(),
    }))
}

struct Count {
    number: usize,
    rule: &'static Rule,
    /// The gravest of its findings.
    level: Level,
}

fn counts(findings: &[Finding]) -> Vec<Count> {
    let mut counts = BTreeMap::new();
    for Finding { rule, level, .. } in findings {
        let count = counts.entry(rule.code).or_insert(Count { number: 0, rule, level: *level });
        count.number += 1;
        count.level = count.level.max(*level);
    }
    let mut counts: Vec<Count> = counts.into_values().collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.number));
    counts
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finding, older, report};
    use super::*;

    #[test]
    fn the_most_frequent_rule_is_first() {
        let mut note = older(0..0);
        note.level = Level::Note;
        let findings = [finding(0..0), note, older(0..0)];
        assert_eq!(
            report(&findings, "").render(statistics),
            "\
COUNT  CODE   NAME                    LEVEL
2      RB032  deleted-after-release   error
1      RB011  irreversible-operation  error
"
        );
        assert_eq!(report(&[], "").render(statistics), "No findings.\n");
    }
}
