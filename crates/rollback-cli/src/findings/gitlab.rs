//! A Code Quality report of GitLab, which a merge request shows.

use rollback_check::{Finding, Level};
use serde_json::{Value, json};

use super::fingerprint::fingerprints;
use super::report::Report;
use super::sentence::sentence;

pub(super) fn render(report: &Report<'_>) -> String {
    let findings = report.findings.iter().zip(fingerprints(report.findings));
    let issues: Vec<Value> =
        findings.map(|(finding, fingerprint)| issue(report, finding, &fingerprint)).collect();
    format!("{}\n", Value::from(issues))
}

fn issue(report: &Report<'_>, finding: &Finding, fingerprint: &str) -> Value {
    let line = report.span(&finding.place).map_or(1, |span| span.start.line);
    json!({
        "description": format!("{}: {}", finding.rule.code, sentence(finding)),
        "check_name": finding.rule.name,
        "fingerprint": fingerprint,
        "severity": severity(finding.level),
        "location": { "path": finding.place.path, "lines": { "begin": line } },
    })
}

/// GitLab knows `info`, `minor`, `major`, `critical` and `blocker`.
fn severity(level: Level) -> &'static str {
    match level {
        Level::Note => "info",
        Level::Warning => "major",
        Level::Error => "critical",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{TEXT, at, finding, older, report};
    use super::*;

    #[track_caller]
    fn check(findings: &[Finding], text: &str, expected: &Value) {
        let shown = report(findings, text).render(render);
        assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), expected);
    }

    #[test]
    fn no_findings_are_an_empty_report() {
        assert_eq!(report(&[], TEXT).render(render), "[]\n");
    }

    #[test]
    fn a_finding_is_an_issue() {
        let findings = [finding(at(TEXT, "migrations.RunPython(fill)"))];
        let fingerprint = &fingerprints(&findings)[0];
        check(
            &findings,
            TEXT,
            &json!([{
                "description": "RB011: RunPython fill has no reverse_code (hint: give it one)",
                "check_name": "irreversible-operation", "fingerprint": fingerprint, "severity": "critical",
                "location": { "path": "shop/migrations/0002_price.py", "lines": { "begin": 3 } },
            }]),
        );
    }

    #[test]
    fn a_whole_file_and_an_older_one_have_a_line_as_well() {
        let mut note = finding(0..0);
        (note.level, note.hint) = (Level::Note, String::new());
        let findings = [note, older(at(TEXT, "fill"))];
        let expected = fingerprints(&findings);
        check(
            &findings,
            TEXT,
            &json!([
                {
                    "description": "RB011: RunPython fill has no reverse_code",
                    "check_name": "irreversible-operation", "fingerprint": expected[0], "severity": "info",
                    "location": { "path": "shop/migrations/0002_price.py", "lines": { "begin": 1 } },
                },
                {
                    "description": "RB032: shop.0001_initial was deleted (hint: bring it back)",
                    "check_name": "deleted-after-release", "fingerprint": expected[1], "severity": "critical",
                    "location": { "path": "shop/migrations/0001_initial.py", "lines": { "begin": 3 } },
                },
            ]),
        );
    }
}
