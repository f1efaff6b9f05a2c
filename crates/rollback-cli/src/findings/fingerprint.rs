//! Fingerprints tell the findings of a report apart, and stay the same when lines move.

use std::collections::BTreeMap;

use rollback_check::Finding;
use rollback_core::stored::hash;

/// One for each finding, in their order: unique, and made of neither lines nor columns.
pub(super) fn fingerprints(findings: &[Finding]) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut fingerprint = |finding| {
        let identity = identity(finding);
        let number = seen.entry(identity.clone()).and_modify(|number| *number += 1).or_insert(1);
        hash(&format!("{identity}\0{number}"))
    };
    findings.iter().map(&mut fingerprint).collect()
}

fn identity(finding: &Finding) -> String {
    let Finding { rule, place, migration, message, .. } = finding;
    [rule.code, &place.path, &migration.app, &migration.name, message].join("\0")
}

#[cfg(test)]
mod tests {
    use super::super::testing::finding;
    use super::*;

    #[test]
    fn fingerprints_are_unique_and_know_no_lines() {
        let first = fingerprints(&[finding(3..5), finding(70..90)]);
        // Code hosts compare reports of different versions by it.
        assert_eq!(first[0], "0111defcb9ae6e3b91a3cc244852e4ea3c798314de2f6bd695954828bb6620ab");
        assert_ne!(first[0], first[1]);
        assert_eq!(first, fingerprints(&[finding(7..9), finding(0..0)]));
    }
}
