//! Comments that suppress findings: `# rollback: ignore[RB012] reason`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::finding::Finding;
use crate::rules::Rule;

/// The comments of a file that suppress findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressions {
    /// The codes by line, counted from 0.
    lines: BTreeMap<usize, Vec<String>>,
    /// The lines that hold only a comment.
    alone: BTreeSet<usize>,
    /// Where each line starts.
    starts: Vec<usize>,
    /// Comments, or parts of them, that have no effect.
    idle: Vec<Idle>,
}

/// A comment, or a part of one, that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Its line, counted from 1.
    pub line: usize,
    /// Why: `it gives no reason after the rule`.
    pub why: String,
}

/// The start of every such comment, after `#`.
const MARK: &str = "rollback:";

impl Suppressions {
    /// Reads the comments of a text. One without a reason suppresses nothing.
    pub fn of(text: &str) -> Self {
        if !text.contains(MARK) {
            return Self::default();
        }
        let starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(place, _)| place + 1)).collect();
        let mut suppressions = Self { starts, ..Self::default() };
        for comment in rollback_source::comments(text) {
            let line = suppressions.line(comment.start);
            if text[suppressions.starts[line]..comment.start].trim().is_empty() {
                suppressions.alone.insert(line);
            }
            match codes(&text[comment]) {
                Some(Ok(codes)) => suppressions.take(line, codes),
                Some(Err(why)) => suppressions.idle.push(Idle { line: line + 1, why: why.to_owned() }),
                None => {}
            }
        }
        suppressions
    }

    fn take(&mut self, line: usize, codes: Vec<String>) {
        for code in codes.iter().filter(|code| Rule::find(code).is_none()) {
            self.idle.push(Idle { line: line + 1, why: format!("unknown rule {code:?}") });
        }
        self.lines.insert(line, codes);
    }

    /// The comments, or parts of them, that have no effect.
    pub fn idle(&self) -> &[Idle] {
        &self.idle
    }

    /// Whether a comment suppresses the finding: one on its lines, or one of the comment lines right above them.
    pub fn has(&self, finding: &Finding) -> bool {
        let Range { start, end } = finding.place.range;
        if self.lines.is_empty() {
            return false;
        }
        let (first, last) = (self.line(start), self.line(end.max(start + 1) - 1));
        let above = (0..first).rev().take_while(|line| self.alone.contains(line)).last().unwrap_or(first);
        let means = |code: &String| Rule::find(code) == Some(finding.rule);
        self.lines.range(above..=last).any(|(_, codes)| codes.iter().any(means))
    }

    fn line(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start <= place).saturating_sub(1)
    }
}

/// The codes of a comment, or why it has no effect. `None` if the comment is not about this.
fn codes(comment: &str) -> Option<Result<Vec<String>, &'static str>> {
    // The line may have comments for other tools as well.
    let rest = comment.split('#').find_map(|part| part.trim().strip_prefix(MARK))?.trim_start();
    let rest = rest.strip_prefix("ignore")?;
    let Some((codes, reason)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return Some(Err("it names no rule: write `ignore[RB012] reason`"));
    };
    if !reason.chars().any(char::is_alphanumeric) {
        return Some(Err("it gives no reason after the rule"));
    }
    Some(Ok(codes.split(',').map(|code| code.trim().to_owned()).filter(|code| !code.is_empty()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_needs_codes_and_a_reason() {
        let is = |comment: &str| codes(comment).and_then(Result::ok).unwrap_or_default();
        assert_eq!(is("# rollback: ignore[RB012] no rows before v2"), ["RB012"]);
        assert_eq!(is("#rollback: ignore[RB012, RB013] filled again by a job"), ["RB012", "RB013"]);
        assert!(is("# rollback: ignore[RB012]").is_empty());
        assert!(is("# rollback: ignore[RB012] -").is_empty());
        assert!(is("# rollback: ignore RB012 because").is_empty());
        assert_eq!(is("# noqa  # rollback: ignore[RB012] no rows"), ["RB012"]);
        assert!(is("# noqa").is_empty());
    }

    #[test]
    fn comments_that_can_do_nothing_are_told() {
        let text = "\
# rollback: ignore[RB012] fine
x = 1  # rollback: ignore[RB012]
y = 2  # rollback: ignore[RB0, RB999, reverse-loses-data] why
# rollback: ignore RB012 why
z = '# rollback: ignore'  # rollback: by hand
";
        let idle = Suppressions::of(text).idle;
        let told: Vec<(usize, &str)> = idle.iter().map(|idle| (idle.line, idle.why.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "it gives no reason after the rule"),
                (3, "unknown rule \"RB0\""),
                (3, "unknown rule \"RB999\""),
                (4, "it names no rule: write `ignore[RB012] reason`"),
            ]
        );
    }
}
