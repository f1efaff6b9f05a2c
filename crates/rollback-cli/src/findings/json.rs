//! Our own JSON document.

use rollback_check::{Finding, Level};
use serde_json::{Value, json};

use super::report::Report;
use crate::document;

pub(super) fn render(report: &Report<'_>) -> String {
    let Report { base, head, migrations, undo, suppressed, findings, .. } = report;
    let findings: Vec<Value> = findings.iter().map(|found| finding(report, found)).collect();
    let document = document::document(json!({
        "base": base, "head": head, "migrations": migrations, "undo": undo, "suppressed": suppressed,
        "counts": {
            "error": report.number_of(Level::Error),
            "warning": report.number_of(Level::Warning),
            "note": report.number_of(Level::Note),
        },
        "findings": findings,
    }));
    format!("{document}\n")
}

/// `start` and `end` are `null` if the finding is about the whole file.
fn finding(report: &Report<'_>, finding: &Finding) -> Value {
    let Finding { rule, level, place, migration, message, hint } = finding;
    let span = report.span(place);
    json!({
        "code": rule.code, "name": rule.name, "level": level.as_str(), "message": message, "hint": hint,
        "app": migration.app, "migration": migration.name, "path": place.path, "older": place.is_older,
        "start": span.map(|span| span.start), "end": span.map(|span| span.end),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TEXT, at, finding, older, report};
    use super::*;

    #[track_caller]
    fn check(findings: &[Finding], text: &str, expected: &Value) {
        let shown = report(findings, text).render(render);
        let document: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(&document["findings"], expected);
    }

    #[test]
    fn an_empty_report() {
        assert_eq!(
            report(&[], TEXT).render(render),
            concat!(
                r#"{"format":1,"base":"v1.2 (03ec91e)","head":"HEAD (1234567)","migrations":4,"#,
                r#""undo":["shop.0003","shop.0002_price"],"suppressed":0,"#,
                r#""counts":{"error":0,"warning":0,"note":0},"findings":[]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_finding_with_its_place() {
        let text = TEXT.replace("fill", "价格");
        let found = finding(at(&text, "价格)"));
        assert_eq!(
            report(&[found], &text).render(render),
            concat!(
                r#"{"format":1,"base":"v1.2 (03ec91e)","head":"HEAD (1234567)","migrations":4,"#,
                r#""undo":["shop.0003","shop.0002_price"],"suppressed":0,"#,
                r#""counts":{"error":1,"warning":0,"note":0},"findings":[{"code":"RB011","#,
                r#""name":"irreversible-operation","level":"error","#,
                r#""message":"RunPython fill has no reverse_code","hint":"give it one","#,
                r#""app":"shop","migration":"0002_price","path":"shop/migrations/0002_price.py","older":false,"#,
                r#""start":{"line":3,"column":30},"end":{"line":3,"column":33}}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_whole_file_has_no_lines() {
        check(
            &[finding(0..0)],
            TEXT,
            &json!([{
                "code": "RB011", "name": "irreversible-operation", "level": "error",
                "message": "RunPython fill has no reverse_code", "hint": "give it one",
                "app": "shop", "migration": "0002_price", "path": "shop/migrations/0002_price.py", "older": false,
                "start": null, "end": null,
            }]),
        );
    }

    #[test]
    fn an_older_file_with_windows_line_ends() {
        let text = TEXT.replace('\n', "\r\n");
        check(
            &[older(at(&text, "migrations.AddField(\r\n            \"order\",\r\n        )"))],
            &text,
            &json!([{
                "code": "RB032", "name": "deleted-after-release", "level": "error",
                "message": "shop.0001_initial was deleted", "hint": "bring it back",
                "app": "shop", "migration": "0001_initial", "path": "shop/migrations/0001_initial.py",
                "older": true, "start": { "line": 4, "column": 9 }, "end": { "line": 6, "column": 10 },
            }]),
        );
    }
}
