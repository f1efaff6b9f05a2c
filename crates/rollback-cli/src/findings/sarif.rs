//! SARIF 2.1.0, the format that code scanners and editors share.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rollback_check::{Finding, Level, Place, Rule};
use rollback_core::MigrationId;
use serde_json::json;
use serde_sarif::sarif::{
    ArtifactLocation, Location, LogicalLocation, MultiformatMessageString, PhysicalLocation, PropertyBag,
    Region, ReportingConfiguration, ReportingDescriptor, Result as Found, ResultColumnKind, ResultLevel, Run,
    Sarif, Tool, ToolComponent, Version,
};

use super::fingerprint::fingerprints;
use super::place::Span;
use super::report::Report;
use super::sentence::sentence;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What is percent-encoded in a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~');

pub(super) fn render(report: &Report<'_>) -> String {
    let sarif =
        Sarif::builder().schema(SCHEMA).version(json!(Version::V2_1_0)).runs(vec![run(report)]).build();
    format!("{}\n", json!(sarif))
}

fn run(report: &Report<'_>) -> Run {
    let rules = rules(report.findings);
    let results = report.findings.iter().zip(fingerprints(report.findings));
    let results = results.map(|(finding, fingerprint)| result(report, &rules, finding, fingerprint));
    Run::builder()
        .tool(tool(&rules))
        .column_kind(json!(ResultColumnKind::UnicodeCodePoints))
        .results(results.collect::<Vec<_>>())
        .properties(properties(report))
        .build()
}

fn tool(rules: &[&'static Rule]) -> Tool {
    let driver = ToolComponent::builder()
        .name("django-rollback")
        .version(env!("CARGO_PKG_VERSION"))
        .information_uri(env!("CARGO_PKG_REPOSITORY"))
        .rules(rules.iter().copied().map(descriptor).collect::<Vec<_>>());
    driver.build().into()
}

/// The rules that have found something, in the order of their codes.
fn rules(findings: &[Finding]) -> Vec<&'static Rule> {
    let rules: BTreeMap<&str, &'static Rule> =
        findings.iter().map(|finding| (finding.rule.code, finding.rule)).collect();
    rules.into_values().collect()
}

fn descriptor(rule: &Rule) -> ReportingDescriptor {
    let configuration =
        ReportingConfiguration { level: Some(json!(level(rule.level))), ..Default::default() };
    let summary = || MultiformatMessageString::builder().text(rule.summary);
    ReportingDescriptor::builder()
        .id(rule.code)
        .name(rule.name)
        .short_description(summary().build())
        .help(summary().markdown(rule.page).build())
        .default_configuration(configuration)
        .build()
}

fn level(level: Level) -> ResultLevel {
    match level {
        Level::Note => ResultLevel::Note,
        Level::Warning => ResultLevel::Warning,
        Level::Error => ResultLevel::Error,
    }
}

fn result(report: &Report<'_>, rules: &[&'static Rule], finding: &Finding, fingerprint: String) -> Found {
    let index = rules.partition_point(|rule| rule.code < finding.rule.code);
    let fingerprints = BTreeMap::from([("finding/v1".to_owned(), fingerprint)]);
    Found::builder()
        .rule_id(finding.rule.code)
        .rule_index(i64::try_from(index).unwrap_or(-1))
        .level(level(finding.level))
        .message(&sentence(finding))
        .locations(vec![location(report, finding)])
        .partial_fingerprints(fingerprints)
        .build()
}

fn location(report: &Report<'_>, finding: &Finding) -> Location {
    let Place { path, is_older, .. } = &finding.place;
    let file = ArtifactLocation::builder().uri(utf8_percent_encode(path, ESCAPED).to_string());
    let physical = PhysicalLocation::builder()
        .artifact_location(file.uri_base_id("%SRCROOT%").build())
        .region(region(report.span(&finding.place)));
    Location {
        physical_location: Some(physical.build()),
        logical_locations: Some(vec![logical_location(&finding.migration)]),
        message: is_older.then(|| format!("this is the file of {}", report.base).as_str().into()),
        ..Default::default()
    }
}

fn logical_location(migration: &MigrationId) -> LogicalLocation {
    LogicalLocation::builder()
        .name(&migration.name)
        .fully_qualified_name(migration.to_string())
        .kind("module")
        .build()
}

/// A finding about a whole file points at its first line: GitHub requires a line.
fn region(span: Option<Span>) -> Region {
    let Some(Span { start, end }) = span else { return Region { start_line: Some(1), ..Default::default() } };
    Region::builder()
        .start_line(start.line)
        .start_column(start.column)
        .end_line(end.line)
        .end_column(end.column)
        .build()
}

/// What SARIF has no fields for.
fn properties(report: &Report<'_>) -> PropertyBag {
    let Report { base, head, migrations, undo, suppressed, .. } = report;
    let properties = [
        ("base", json!(base)),
        ("head", json!(head)),
        ("migrations", json!(migrations)),
        ("undo", json!(undo)),
        ("suppressed", json!(suppressed)),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value));
    PropertyBag::builder().additional_properties(BTreeMap::from(properties)).build()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::testing::{TEXT, at, finding, older, report};
    use super::*;

    fn run(findings: &[Finding], text: &str) -> Value {
        let shown = report(findings, text).render(render);
        serde_json::from_str::<Value>(&shown).unwrap()["runs"][0].take()
    }

    #[track_caller]
    fn check_region(finding: Finding, text: &str, expected: &Value) {
        let run = run(&[finding], text);
        assert_eq!(&run["results"][0]["locations"][0]["physicalLocation"]["region"], expected);
    }

    #[test]
    fn an_empty_report() {
        let version = env!("CARGO_PKG_VERSION");
        let document: Value = serde_json::from_str(&report(&[], TEXT).render(render)).unwrap();
        assert_eq!(
            document,
            json!({
                "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
                "version": "2.1.0",
                "runs": [{
                    "tool": { "driver": {
                        "name": "django-rollback", "version": version, "rules": [],
                        "informationUri": "https://github.com/django-rollback/django-rollback",
                    } },
                    "columnKind": "unicodeCodePoints",
                    "results": [],
                    "properties": {
                        "base": "v1.2 (03ec91e)", "head": "HEAD (1234567)", "migrations": 4, "suppressed": 0,
                        "undo": ["shop.0003", "shop.0002_price"],
                    },
                }],
            })
        );
    }

    #[test]
    fn a_result_points_to_its_rule() {
        let findings = [older(0..0), finding(at(TEXT, "migrations.RunPython(fill)"))];
        let run = run(&findings, TEXT);
        assert_eq!(
            run["tool"]["driver"]["rules"],
            json!([
                {
                    "id": "RB011", "name": "irreversible-operation",
                    "shortDescription": { "text": "an operation cannot be undone" },
                    "help": { "text": "an operation cannot be undone", "markdown": "# RB011\n\nWhy.\n" },
                    "defaultConfiguration": { "level": "error" },
                },
                {
                    "id": "RB032", "name": "deleted-after-release",
                    "shortDescription": { "text": "a migration was deleted after it was released" },
                    "help": {
                        "text": "a migration was deleted after it was released",
                        "markdown": "# RB032\n\nBecause.\n",
                    },
                    "defaultConfiguration": { "level": "warning" },
                },
            ])
        );
        assert_eq!(
            run["results"][1],
            json!({
                "ruleId": "RB011", "ruleIndex": 0, "level": "error",
                "message": { "text": "RunPython fill has no reverse_code (hint: give it one)" },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": "shop/migrations/0002_price.py", "uriBaseId": "%SRCROOT%" },
                        "region": { "startLine": 3, "startColumn": 9, "endLine": 3, "endColumn": 35 },
                    },
                    "logicalLocations": [
                        { "name": "0002_price", "fullyQualifiedName": "shop.0002_price", "kind": "module" },
                    ],
                }],
                "partialFingerprints": { "finding/v1": fingerprints(&findings)[1] },
            })
        );
    }

    #[test]
    fn a_file_of_the_older_release_says_so() {
        let run = run(&[older(0..0)], TEXT);
        assert_eq!(
            run["results"][0]["locations"],
            json!([{
                "physicalLocation": {
                    "artifactLocation": { "uri": "shop/migrations/0001_initial.py", "uriBaseId": "%SRCROOT%" },
                    "region": { "startLine": 1 },
                },
                "logicalLocations": [
                    { "name": "0001_initial", "fullyQualifiedName": "shop.0001_initial", "kind": "module" },
                ],
                "message": { "text": "this is the file of v1.2 (03ec91e)" },
            }])
        );
    }

    #[test]
    fn regions_count_characters() {
        check_region(
            finding(6..13),
            "é = '価'\r\nb",
            &json!({ "startLine": 1, "startColumn": 6, "endLine": 2, "endColumn": 2 }),
        );
        check_region(
            finding(3..3),
            "ab\n",
            &json!({ "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 1 }),
        );
    }

    #[test]
    fn a_path_is_a_uri() {
        let mut found = finding(0..0);
        found.place.path = "my shop/価:50%.py".to_owned();
        let run = run(&[found], TEXT);
        let location = &run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
        assert_eq!(location["uri"], "my%20shop/%E4%BE%A1%3A50%25.py");
    }
}
