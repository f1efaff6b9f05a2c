//! `# rollback: ignore[RB012] reason`: findings that somebody has looked at.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::finding::Finding;

/// The comments of a file that suppress findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressions {
    /// By line, counted from 0: the codes, and whether the comment stands alone on it.
    lines: BTreeMap<usize, (Vec<String>, bool)>,
    /// Where each line begins.
    starts: Vec<usize>,
}

/// What every such comment begins with, after `#`.
const MARK: &str = "rollback:";

impl Suppressions {
    /// Reads the comments of a text. One without a reason suppresses nothing.
    pub fn of(text: &str) -> Self {
        if !text.contains(MARK) {
            return Self::default();
        }
        let starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(place, _)| place + 1)).collect();
        let mut suppressions = Self { lines: BTreeMap::new(), starts };
        for comment in rollback_source::comments(text) {
            let line = suppressions.line(comment.start);
            let is_alone = text[suppressions.starts[line]..comment.start].trim().is_empty();
            if let Some(codes) = codes(&text[comment]) {
                suppressions.lines.insert(line, (codes, is_alone));
            }
        }
        suppressions
    }

    /// Whether a comment on one of the finding's lines, or alone on the line above them, suppresses it.
    pub fn has(&self, finding: &Finding) -> bool {
        let Range { start, end } = finding.place.range;
        if self.lines.is_empty() {
            return false;
        }
        let (first, last) = (self.line(start), self.line(end.max(start + 1) - 1));
        let names = |codes: &[String]| {
            codes.iter().any(|code| code == finding.rule.code || code == finding.rule.name)
        };
        let mut near = self.lines.range(first.saturating_sub(1)..=last);
        near.any(|(line, (codes, is_alone))| (*line >= first || *is_alone) && names(codes))
    }

    fn line(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start <= place).saturating_sub(1)
    }
}

/// The codes of a comment, where it has a reason.
fn codes(comment: &str) -> Option<Vec<String>> {
    // Other tools' comments may stand on the same line.
    let rest = comment.split('#').find_map(|part| part.trim().strip_prefix(MARK))?.trim_start();
    let (codes, reason) = rest.strip_prefix("ignore[")?.split_once(']')?;
    let is_given = reason.chars().any(char::is_alphanumeric);
    is_given.then(|| {
        codes.split(',').map(|code| code.trim().to_owned()).filter(|code| !code.is_empty()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_needs_codes_and_a_reason() {
        let is = |comment: &str| codes(comment).unwrap_or_default();
        assert_eq!(is("# rollback: ignore[RB012] no rows before v2"), ["RB012"]);
        assert_eq!(is("#rollback: ignore[RB012, RB013] filled again by a job"), ["RB012", "RB013"]);
        assert!(is("# rollback: ignore[RB012]").is_empty());
        assert!(is("# rollback: ignore[RB012] -").is_empty());
        assert!(is("# rollback: ignore RB012 because").is_empty());
        assert_eq!(is("# noqa  # rollback: ignore[RB012] no rows"), ["RB012"]);
        assert!(is("# noqa").is_empty());
    }
}
