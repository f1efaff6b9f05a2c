//! Plans of graphs drawn in text.

use std::collections::{BTreeMap, BTreeSet};

use super::{Means, Plan, Situation, plan};
use crate::applied::{AppliedRow, AppliedSet};
use crate::migration::{MigrationFacts, MigrationId, ProjectFacts};
use crate::testing::{ids, migrations};
use crate::way::{WAYS, Way};

/// One case: the rows now, the release's rows, and the migration files of the project.
#[derive(Clone, Copy)]
struct Case<'a> {
    now: &'a str,
    target: &'a str,
    files: &'a str,
    remembered: &'a str,
    /// What is kept of migrations: `a.2:sql+source a.3:source a.4:bad`.
    kept: &'a str,
    ways: &'a [Way],
    unverified: bool,
}

const FILES: Case<'static> =
    Case { now: "", target: "", files: "", remembered: "", kept: "", ways: WAYS, unverified: false };

fn means(text: &str) -> BTreeMap<MigrationId, Means> {
    let one = |word: &str| {
        let (name, kept) = word.split_once(':').expect("a migration and what is kept of it");
        let has = |what: &str| if kept.contains(what) { Ok(()) } else { Err(format!("it has no {what}")) };
        let distrust = kept.contains("bad").then(|| "its signature is wrong".to_owned());
        let release = Some("03ec91e (v2)".to_owned());
        (crate::testing::id(name), Means { sql: has("sql"), source: has("source"), distrust, release })
    };
    text.split_whitespace().map(one).collect()
}

fn rows(text: &str) -> Vec<AppliedRow> {
    ids(text).into_iter().zip(1..).map(|(migration, id)| AppliedRow { id, migration }).collect()
}

fn make(case: &Case<'_>) -> Plan {
    let project = ProjectFacts { migrations: migrations(case.files), ..ProjectFacts::default() };
    plan(&Situation {
        now: &rows(case.now),
        target: &ids(case.target).into_iter().collect(),
        on_disk: Some(&project).filter(|project| !project.migrations.is_empty()),
        remembered: &migrations(case.remembered),
        means: &means(case.kept),
        ways: case.ways,
        is_verified: !case.unverified,
        own_app: "django_rollback",
    })
}

/// Steps (`-` undo, `~` unmark, `+` mark), then blockers as `!kind`, then warnings as `?kind`.
fn summary(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(|step| match step.way {
        Way::Disk => format!("-{}", step.migration),
        Way::Sql => format!("s{}", step.migration),
        Way::Capsule => format!("c{}", step.migration),
        Way::Unmark => format!("~{}", step.migration),
        Way::Mark => format!("+{}", step.migration),
    });
    let blockers = plan.blockers.iter().map(|blocker| format!("!{}", blocker.kind()));
    let warnings = plan.warnings.iter().map(|warning| format!("?{}", warning.kind()));
    steps.chain(blockers).chain(warnings).collect::<Vec<_>>().join(" ")
}

fn check(case: &Case<'_>, expected: &str) {
    assert_eq!(summary(&make(case)), expected);
}

#[test]
fn nothing_to_do() {
    check(&Case { now: "a.1", target: "a.1", files: "a.1", ..FILES }, "");
}

#[test]
fn a_merge_and_its_parallel_branch_go_and_the_other_branch_stays() {
    let files = "a.1
        a.2 < a.1
        a.2b < a.1
        a.3 < a.2 a.2b";
    let case = Case { now: "a.1 a.2 a.2b a.3", target: "a.1 a.2", files, ..FILES };
    check(&case, "-a.3 -a.2b");
    assert_eq!(make(&case).staying, ids("a.1 a.2"));
}

#[test]
fn the_order_of_rows_means_nothing() {
    check(
        &Case { now: "a.2 b.1 a.1", target: "", files: "a.1 < b.1\na.2 < a.1\nb.1", ..FILES },
        "-a.2 -a.1 -b.1",
    );
}

#[test]
fn a_lower_number_applied_later() {
    let files = "a.1\na.2 < a.1\na.1x < a.1";
    check(&Case { now: "a.1 a.2 a.1x", target: "a.1 a.2", files, ..FILES }, "-a.1x");
}

#[test]
fn run_before_and_first_are_edges() {
    let files = "user.1\nz.1 < user.__first__ before a.2\na.1\na.2 < a.1";
    check(&Case { now: "a.1 user.1 z.1 a.2", target: "a.1", files, ..FILES }, "-a.2 -z.1 -user.1");
}

#[test]
fn a_squash_with_its_old_files() {
    let files = "a.1
        a.2 < a.1
        a.1s replaces a.1 a.2
        a.4 < a.1s";
    check(&Case { now: "a.1 a.2 a.1s a.4", target: "a.1 a.2", files, ..FILES }, "-a.4 ~a.1s");
    check(&Case { now: "a.1 a.2 a.1s a.4", target: "", files, ..FILES }, "-a.4 -a.1s");
    check(&Case { now: "a.1 a.2 a.1s a.4", target: "a.1 a.2 a.1s", files, ..FILES }, "-a.4");
}

#[test]
fn a_squash_without_its_old_files() {
    let files = "a.1s replaces a.1 a.2
        a.4 < a.1s";
    check(&Case { now: "a.1 a.2 a.1s a.4", target: "a.1 a.2", files, ..FILES }, "-a.4 ~a.1s");
    check(&Case { now: "a.1 a.2 a.1s", target: "a.1", files, ..FILES }, "-a.2 ~a.1s !cannot-split");
    let remembered = "a.1\na.2 < a.1";
    let case = Case { now: "a.1 a.2 a.1s", target: "a.1", files, remembered, ..FILES };
    check(&case, "-a.2 ~a.1s !cannot-split");
}

#[test]
fn a_part_of_a_squash_out_of_the_archive() {
    let files = "a.1s replaces a.1 a.2 a.3";
    let remembered = "a.1\na.2 < a.1\na.3 < a.2";
    let case = Case { now: "a.1 a.2 a.3 a.1s", target: "a.1", files, remembered, ..FILES };
    let all = Case { kept: "a.1:source a.2:source a.3:source", ..case };
    check(&all, "ca.3 ca.2 ~a.1s");
    assert_eq!(make(&all).staying, ids("a.1"));
    // What stays made the models that Django needs.
    check(&Case { kept: "a.2:source a.3:source", ..case }, "ca.3 ca.2 ~a.1s !cannot-split");
    check(&Case { kept: "a.1:source+bad a.2:source a.3:source", ..case }, "ca.3 ca.2 ~a.1s !cannot-split");
    check(&Case { ways: &[Way::Disk], ..all }, "-a.3 -a.2 ~a.1s !cannot-split !cannot-split");
    check(&Case { kept: "a.2:sql a.3:sql", ..case }, "sa.3 sa.2 ~a.1s");
}

#[test]
fn a_squash_whose_old_rows_were_pruned() {
    let files = "a.1s\na.4 < a.1s";
    let remembered = "a.1s replaces a.1 a.2";
    let case = Case { now: "a.1s a.4", target: "a.1 a.2", files, remembered, ..FILES };
    check(&case, "-a.4 ~a.1s +a.1 +a.2");
    assert_eq!(make(&case).result, ids("a.1 a.2").into_iter().collect());
    check(&Case { target: "", ..case }, "-a.4 -a.1s");
}

#[test]
fn a_part_of_a_squash_goes_by_its_own_file() {
    let files = "a.1
        a.2 < a.1
        a.1s replaces a.1 a.2
        b.1 < a.1s";
    let case = Case { now: "a.1 a.2 a.1s b.1", target: "a.1", files, ..FILES };
    check(&case, "-b.1 -a.2 ~a.1s");
    assert_eq!(make(&case).staying, ids("a.1"));
}

#[test]
fn a_squash_and_more_in_one_release() {
    let files = "a.1s replaces a.1 a.2 a.3
        a.4 < a.1s
        a.5 < a.4";
    let before = "a.1 a.2 a.3 a.1s a.4";
    check(&Case { now: &format!("{before} a.5"), target: before, files, ..FILES }, "-a.5");
}

#[test]
fn irreversible_operations_are_named_all_of_them() {
    let files = "a.1
        a.2 < a.1 irreversible RunSQL RunPython
        b.1 < a.2";
    let case = Case { now: "a.1 a.2 b.1", target: "a.1", files, ..FILES };
    check(&case, "-b.1 -a.2 !irreversible !irreversible");
    assert_eq!(make(&case).blockers[0].to_string(), "a.2 cannot be undone: RunSQL is irreversible");
}

#[test]
fn a_missing_file_is_found_before_anything_runs() {
    check(&Case { now: "a.1 old.1", target: "a.1", files: "a.1", ..FILES }, "-old.1 !missing-file");
    let remembered = "old.1 < a.1";
    check(
        &Case { now: "a.1 old.1", target: "a.1", files: "a.1", remembered, ..FILES },
        "-old.1 !missing-file",
    );
}

#[test]
fn an_app_that_only_the_release_had() {
    check(&Case { now: "a.1", target: "a.1 old.1", files: "a.1", ..FILES }, "?not-applied");
}

#[test]
fn a_dependency_that_was_added_to_an_applied_migration() {
    let files = "a.1\na.2 < a.1 b.1\nb.1";
    let case = Case { now: "a.1 a.2 b.1", target: "a.1 a.2", files, ..FILES };
    check(&case, "-b.1 !inconsistent");
    assert_eq!(make(&case).blockers[0].to_string(), "b.1 must be undone, but a.2 stays and depends on it");
}

#[test]
fn what_stays_without_a_file_still_holds_its_parents() {
    let case = Case {
        now: "a.1 a.2 old.1",
        target: "a.1 old.1",
        files: "a.1\na.2 < a.1",
        remembered: "old.1 < a.2",
        ..FILES
    };
    check(&case, "-a.2 !inconsistent");
}

#[test]
fn our_own_migrations_are_never_undone() {
    let files = "django_rollback.1\ndjango_rollback.2 < django_rollback.1\na.1";
    let case =
        Case { now: "django_rollback.1 django_rollback.2 a.1", target: "django_rollback.1", files, ..FILES };
    check(&case, "-a.1");
    assert_eq!(make(&case).result, ids("django_rollback.1 django_rollback.2").into_iter().collect());
    assert_eq!(make(&case).staying, ids("django_rollback.1 django_rollback.2"));
}

#[test]
fn only_data_work_outside_a_transaction_cuts_the_plan() {
    let case = |files| Case { now: "a.1 a.2 a.3 a.4", target: "a.1", files, ..FILES };
    let joined = case("a.1\na.2 < a.1 nonatomic\na.3 < a.2\na.4 < a.3 code");
    check(&joined, "-a.4 -a.3 -a.2");
    assert_eq!(make(&joined).segments().len(), 1);
    let cut = case("a.1\na.2 < a.1\na.3 < a.2 nonatomic code\na.4 < a.3");
    check(&cut, "-a.4 -a.3 -a.2 ?not-atomic");
    let plan = make(&cut);
    assert_eq!(
        plan.segments().iter().map(|segment| segment.is_outside_transaction).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert!(!plan.is_atomic());
}

#[test]
fn a_statement_that_no_transaction_takes_is_found_beforehand() {
    let now = "a.1 a.2";
    check(
        &Case { now, target: "a.1", files: "a.1\na.2 < a.1 sql VACUUM", ..FILES },
        "-a.2 !refuses-transaction",
    );
    check(
        &Case { now, target: "a.1", files: "a.1\na.2 < a.1 nonatomic sql VACUUM", ..FILES },
        "-a.2 ?not-atomic",
    );
}

#[test]
fn custom_sql_that_may_delete_data_is_a_warning() {
    let case = |files| Case { now: "a.1 a.2", target: "a.1", files, ..FILES };
    check(&case("a.1\na.2 < a.1 sql TRUNCATE"), "-a.2 ?may-lose");
    check(&case("a.1\na.2 < a.1 sql COMMENT"), "-a.2");
}

#[test]
fn code_runs_only_in_steps_that_have_some() {
    let runs_code = |files| make(&Case { now: "a.1 a.2", target: "a.1", files, ..FILES }).steps[0].runs_code;
    assert!(runs_code("a.1\na.2 < a.1 code"));
    assert!(!runs_code("a.1\na.2 < a.1 sql COMMENT"));
}

#[test]
fn without_django_what_is_remembered_decides() {
    let remembered = "a.1\na.2 < a.1 irreversible RunSQL\nb.1 < a.2";
    check(&Case { now: "b.1 a.1 a.2", target: "a.1", remembered, ..FILES }, "-b.1 -a.2 !irreversible");
    check(&Case { now: "a.1 a.2 a.3", target: "a.1", ..FILES }, "-a.3 -a.2 ?order-unknown");
}

#[test]
fn files_that_are_not_applied_play_no_part() {
    check(&Case { now: "a.1 a.2", target: "a.1", files: "a.1\na.2 < a.1\na.3 < a.2\nc.1", ..FILES }, "-a.2");
}

#[test]
fn each_step_takes_the_first_way_that_there_is() {
    let files = "a.1\na.2 < a.1\na.3 < a.2 code";
    let case = Case { now: "a.1 a.2 a.3", target: "a.1", files, kept: "a.2:sql+source a.3:source", ..FILES };
    check(&case, "-a.3 sa.2");
    check(&Case { ways: &[Way::Disk], ..case }, "-a.3 -a.2");
    check(&Case { ways: &[Way::Capsule], ..case }, "ca.3 ca.2");
    check(&Case { ways: &[Way::Sql], ..case }, "-a.3 sa.2 !not-that-way");
    let old_image = Case { files: "a.1", remembered: "a.2 < a.1\na.3 < a.2", ..case };
    check(&old_image, "ca.3 sa.2");
    check(&Case { kept: "a.2:sql a.3:sql", ..old_image }, "sa.3 sa.2");
}

#[test]
fn recorded_sql_is_the_choice_only_where_its_result_is_checked() {
    let files = "a.1\na.2 < a.1";
    let kept = "a.2:sql";
    let case = Case { now: "a.1 a.2", target: "a.1", files, kept, unverified: true, ..FILES };
    check(&case, "-a.2");
    check(&Case { ways: &[Way::Sql], ..case }, "sa.2");
}

#[test]
fn a_file_that_was_changed_since_it_was_applied_is_the_last_choice() {
    let case = Case {
        now: "a.1 a.2",
        target: "a.1",
        files: "a.1\na.2 < a.1 source 22",
        remembered: "a.2 < a.1 source 11",
        ways: &[Way::Disk, Way::Capsule],
        ..FILES
    };
    check(&Case { kept: "a.2:source", ..case }, "ca.2");
    check(&Case { kept: "a.2:", ..case }, "-a.2 ?changed-file");
    check(&Case { files: "a.1\na.2 < a.1 source 11", kept: "a.2:source", ..case }, "-a.2");
}

#[test]
fn a_step_by_sql_needs_its_source_where_django_does_another() {
    let (files, remembered) = ("a.1", "a.2 < a.1\na.3 < a.2");
    let case = Case { now: "a.1 a.2 a.3", target: "a.1", files, remembered, ..FILES };
    check(&Case { kept: "a.2:sql a.3:source", ..case }, "ca.3 sa.2 !missing-file");
    check(&Case { kept: "a.2:sql+source a.3:", ..case }, "-a.3 sa.2 !missing-file");
}

#[test]
fn nothing_is_done_with_what_is_not_trusted() {
    let files = "a.1\na.2 < a.1";
    let case = Case { now: "a.1 a.2", target: "a.1", files, kept: "a.2:sql+source+bad", ..FILES };
    check(&case, "-a.2 !untrusted");
    check(&Case { ways: &[Way::Disk], ..case }, "-a.2");
    let old_image = Case { files: "a.1", remembered: "a.2 < a.1", ..case };
    check(&old_image, "-a.2 !untrusted");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Files with edges only to earlier ones, and two applied sets that are closed under dependencies.
    fn histories() -> impl Strategy<Value = (Vec<MigrationFacts>, AppliedSet, AppliedSet)> {
        let file = (0..3usize, prop::collection::vec(any::<prop::sample::Index>(), 0..3));
        (prop::collection::vec(file, 1..20), any::<u32>(), any::<u32>()).prop_map(|(files, now, target)| {
            let mut facts: Vec<MigrationFacts> = Vec::new();
            for (number, (app, parents)) in files.into_iter().enumerate() {
                let mut fact =
                    MigrationFacts::new(MigrationId::new(["a", "b", "c"][app], format!("{number:02}")));
                if number > 0 {
                    fact.dependencies =
                        parents.iter().map(|parent| facts[parent.index(number)].id.clone()).collect();
                }
                facts.push(fact);
            }
            let now = closed(&facts, now);
            let target = closed(&facts, target);
            (facts, now, target)
        })
    }

    fn closed(facts: &[MigrationFacts], mask: u32) -> AppliedSet {
        let mut set = BTreeSet::new();
        for (number, fact) in facts.iter().enumerate() {
            if mask >> number & 1 == 1 && fact.dependencies.iter().all(|parent| set.contains(parent)) {
                set.insert(fact.id.clone());
            }
        }
        set.into_iter().collect()
    }

    proptest! {
        #[test]
        fn steps_are_the_difference_children_first((facts, now, target) in histories()) {
            let rows: Vec<AppliedRow> =
                now.iter().cloned().zip(1..).map(|(migration, id)| AppliedRow { id, migration }).collect();
            let project = ProjectFacts { migrations: facts, ..ProjectFacts::default() };
            let situation = Situation {
                now: &rows,
                target: &target,
                on_disk: Some(&project),
                remembered: &[],
                means: &BTreeMap::new(),
                ways: WAYS,
                is_verified: true,
                own_app: "none",
            };
            let plan = plan(&situation);
            prop_assert_eq!(&plan.blockers, &vec![]);
            let undone: BTreeSet<&MigrationId> = plan.steps.iter().map(|step| &step.migration).collect();
            prop_assert_eq!(&undone, &now.minus(&target).collect());
            let mut applied: BTreeSet<&MigrationId> = now.iter().collect();
            for step in &plan.steps {
                applied.remove(&step.migration);
                let orphan = project.migrations.iter().find(|fact| {
                    applied.contains(&fact.id) && fact.dependencies.contains(&step.migration)
                });
                prop_assert!(orphan.is_none(), "{} goes before {:?}", step.migration, orphan);
            }
            prop_assert!(plan.staying.iter().all(|id| applied.contains(id)));
            prop_assert_eq!(plan.staying.len(), applied.len());
        }
    }
}
