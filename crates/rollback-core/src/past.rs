//! Releases that nobody saved: what was applied at a commit, by its migration files and by what was applied later.
//!
//! A migration belongs to such a release if the commit has it or a squash of it, and its parts are still applied. Rows
//! without a file in any commit come from elsewhere: from Django, from packages. When they were applied is unknown, so
//! they count as applied all along.

use std::collections::{BTreeMap, BTreeSet};

use crate::applied::AppliedSet;
use crate::migration::{MigrationFacts, MigrationId};
use crate::squash::Squashes;

/// The migration files of one commit.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// All migration files.
    pub files: BTreeSet<MigrationId>,
    /// What is known about those that replace others.
    pub squashes: Vec<MigrationFacts>,
    /// Those that may replace others, but do not say which.
    pub doubtful: BTreeSet<MigrationId>,
}

/// What past releases are rebuilt from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What is applied now.
    pub now: &'a AppliedSet,
    /// What was applied at the later release: that of the last commit.
    pub later: &'a AppliedSet,
    /// The commits, oldest first. The last one is the later release's.
    pub trees: &'a [Tree],
    /// What else is known about migrations.
    pub remembered: &'a [MigrationFacts],
    /// The app label of django-rollback itself: its own tables are never undone.
    pub own_app: &'a str,
}

/// What was applied at a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The migrations that were applied.
    pub applied: AppliedSet,
    /// The commit's migrations that are not among them: no longer applied, or never.
    pub not_applied: Vec<MigrationId>,
    /// Those among them for which no commit has a file.
    pub assumed: Vec<MigrationId>,
}

/// Why a release cannot be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The commit has no migration.
    #[error("it has no migrations")]
    NoMigrations,
    /// What a squash replaces is unknown.
    #[error("the file of {0} does not say what it replaces")]
    Doubtful(MigrationId),
    /// The app's migrations were made anew: none of these is applied, but others are.
    #[error("none of its migrations of {app} is applied, but others of {app} are")]
    MadeAnew {
        /// The app's label.
        app: String,
    },
}

/// Past releases, one for each commit.
pub struct Past<'a> {
    evidence: Evidence<'a>,
    squashes: Squashes,
    /// All names that each commit's files have: their own, and those of what they replace.
    names: Vec<BTreeSet<MigrationId>>,
    /// The newest commit that has a migration or a squash of it.
    newest: BTreeMap<MigrationId, usize>,
    /// The rows of the later release that are still applied.
    later_rows: AppliedSet,
    /// The parts that were applied at the later release and still are.
    applied_parts: BTreeSet<MigrationId>,
}

impl<'a> Past<'a> {
    /// Compares the commits with what is applied.
    pub fn new(evidence: Evidence<'a>) -> Self {
        let in_trees = evidence.trees.iter().flat_map(|tree| &tree.squashes);
        let squashes = Squashes::of(in_trees.chain(evidence.remembered));
        let names: Vec<_> = evidence.trees.iter().map(names).collect();
        let mut newest = BTreeMap::new();
        for (place, names) in names.iter().enumerate() {
            newest.extend(names.iter().map(|name| (name.clone(), place)));
        }
        let now = squashes.fold(evidence.now);
        let applied_parts = squashes.fold(evidence.later).intersection(&now).cloned().collect();
        let is_left = |row: &&MigrationId| squashes.parts(row).is_subset(&now);
        let later_rows = evidence.later.iter().filter(is_left).cloned().collect();
        Self { evidence, squashes, names, newest, later_rows, applied_parts }
    }

    /// What was applied at the commit with this place among the trees.
    pub fn at(&self, place: usize) -> Result<Rebuilt, Lost> {
        let tree = &self.evidence.trees[place];
        if tree.files.is_empty() {
            return Err(Lost::NoMigrations);
        }
        self.refuse_doubt(place)?;
        let not_applied: Vec<MigrationId> =
            tree.files.iter().filter(|file| !self.is_applied(file)).cloned().collect();
        self.refuse_new_history(tree, &not_applied)?;
        let known = self.names[place].iter().filter(|name| self.is_applied(name));
        let own = self.evidence.now.iter().filter(|row| row.app == self.evidence.own_app);
        let assumed: Vec<MigrationId> =
            self.later_rows.iter().filter(|row| self.is_assumed(row, place)).cloned().collect();
        let applied = known.chain(own).chain(&assumed).cloned().collect();
        Ok(Rebuilt { applied, not_applied, assumed })
    }

    /// What is applied now, also under the names of its parts.
    pub fn names_of_now(&self) -> AppliedSet {
        let now = self.evidence.now;
        now.iter().cloned().chain(self.squashes.fold(now)).collect()
    }

    fn is_applied(&self, migration: &MigrationId) -> bool {
        self.squashes.parts(migration).is_subset(&self.applied_parts)
    }

    /// Whether a row counts as applied at a commit that has no file for it.
    fn is_assumed(&self, row: &MigrationId, place: usize) -> bool {
        let came_later = self.newest.get(row).is_some_and(|newest| *newest > place);
        let last = self.evidence.trees.last().map_or(&self.names[place], |tree| &tree.files);
        // An app that has left the repository had what its last files say; anything newer comes from a package.
        let has_left = has_app(&self.evidence.trees[place].files, &row.app) && !has_app(last, &row.app);
        row.app != self.evidence.own_app && !self.names[place].contains(row) && !came_later && !has_left
    }

    /// A squash whose contents are unknown may hide what the commit had, also if it came later.
    fn refuse_doubt(&self, place: usize) -> Result<(), Lost> {
        let is_known = |id: &&MigrationId| self.evidence.remembered.iter().any(|facts| facts.id == **id);
        let doubtful = self.evidence.trees[place..].iter().flat_map(|tree| &tree.doubtful);
        doubtful.filter(|id| !is_known(id)).map(|id| Err(Lost::Doubtful(id.clone()))).next().unwrap_or(Ok(()))
    }

    /// If none of an app's migrations is applied any more, going back would undo the whole app.
    fn refuse_new_history(&self, tree: &Tree, not_applied: &[MigrationId]) -> Result<(), Lost> {
        let apps: BTreeSet<&str> = not_applied.iter().map(|id| id.app.as_str()).collect();
        let is_anew = |app: &&str| {
            let mut files = tree.files.iter().filter(|file| file.app == **app);
            files.all(|file| !self.is_applied(file)) && self.later_rows.iter().any(|row| row.app == **app)
        };
        match apps.into_iter().find(is_anew) {
            Some(app) => Err(Lost::MadeAnew { app: app.to_owned() }),
            None => Ok(()),
        }
    }
}

/// All names that the files of a commit have, by their own words: theirs, and those of what they replace.
fn names(tree: &Tree) -> BTreeSet<MigrationId> {
    let squashes = Squashes::of(&tree.squashes);
    tree.files.iter().flat_map(|file| squashes.rows(file)).collect()
}

fn has_app(files: &BTreeSet<MigrationId>, app: &str) -> bool {
    files.iter().any(|file| file.app == app)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, ids, migrations};

    /// Commits are separated by `|`; the last one is the release that was saved. A file that may be a squash of unknown
    /// contents ends with `?`. `now` and `later` are rows. Each commit but the last has an expectation: what was applied,
    /// after `-` what is not applied, after `~` what is assumed.
    fn check_with(commits: &str, later: &str, now: &str, remembered: &str, expected: &[&str]) {
        let trees: Vec<Tree> = commits.split('|').map(tree).collect();
        let set = |text: &str| ids(text).into_iter().collect::<AppliedSet>();
        let (now, later, remembered) = (set(now), set(later), migrations(remembered));
        let evidence =
            Evidence { now: &now, later: &later, trees: &trees, remembered: &remembered, own_app: "own" };
        let past = Past::new(evidence);
        let told: Vec<String> = (0..trees.len() - 1).map(|place| tell(past.at(place))).collect();
        assert_eq!(told, expected);
    }

    fn check(commits: &str, applied: &str, expected: &[&str]) {
        check_with(commits, applied, applied, "", expected);
    }

    fn tree(text: &str) -> Tree {
        let doubtful: BTreeSet<MigrationId> =
            text.lines().filter_map(|line| Some(id(line.trim().strip_suffix('?')?))).collect();
        let facts = migrations(&text.replace('?', ""));
        Tree {
            files: facts.iter().map(|facts| facts.id.clone()).collect(),
            squashes: facts.into_iter().filter(|facts| !facts.replaces.is_empty()).collect(),
            doubtful,
        }
    }

    fn tell(rebuilt: Result<Rebuilt, Lost>) -> String {
        let words = |ids: &mut dyn Iterator<Item = &MigrationId>| {
            ids.map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        match rebuilt {
            Err(lost) => format!("! {lost}"),
            Ok(Rebuilt { applied, not_applied, assumed }) => {
                let mut told = words(&mut applied.iter());
                for (mark, part) in [(" - ", not_applied), (" ~ ", assumed)] {
                    if !part.is_empty() {
                        told += mark;
                        told += &words(&mut part.iter());
                    }
                }
                told
            }
        }
    }

    #[test]
    fn what_a_commit_has_and_what_is_applied() {
        let commits = "a.1
            | a.1
              a.2
              b.1
            | a.1
              a.2
              a.3
              b.1";
        check(commits, "a.1 a.2 a.3 b.1 own.1", &["a.1 own.1", "a.1 a.2 b.1 own.1"]);
        check(commits, "a.1 a.2 a.3", &["a.1", "a.1 a.2 - b.1"]);
        check(commits, "a.1 b.1", &["a.1", "a.1 b.1 - a.2"]);
    }

    #[test]
    fn what_no_commit_has_counts_as_applied_all_along() {
        let commits = "a.1
            | a.1
              a.2";
        check(commits, "a.1 a.2 auth.1 auth.2", &["a.1 auth.1 auth.2 ~ auth.1 auth.2"]);
        // One of a branch that was never merged.
        check(commits, "a.1 a.2 a.2_other", &["a.1 a.2_other ~ a.2_other"]);
        check("|a.1", "a.1", &["! it has no migrations"]);
    }

    #[test]
    fn what_the_later_release_did_not_have_came_after_it() {
        let commits = "a.1
            | a.1
              a.2";
        check_with(commits, "a.1 a.2 auth.1", "a.1 a.2 a.3 auth.1 auth.2", "", &["a.1 auth.1 ~ auth.1"]);
        // Undone since, or by another name.
        check_with(commits, "a.1 a.2 auth.1 b.1", "a.1 auth.1", "", &["a.1 auth.1 ~ auth.1"]);
        let squash = "auth.s replaces auth.1 auth.2";
        check_with(
            commits,
            "a.1 auth.1 auth.2",
            "a.1 auth.s",
            squash,
            &["a.1 auth.1 auth.2 ~ auth.1 auth.2"],
        );
        check_with(commits, "a.1 auth.1", "a.1 auth.1 auth.2 auth.s", squash, &["a.1 auth.1 ~ auth.1"]);
    }

    #[test]
    fn a_squash_and_what_it_replaces() {
        let commits = "a.1
              a.2
            | a.1
              a.2
              a.s replaces a.1 a.2
            | a.s replaces a.1 a.2
            | a.s
            | a.s
              a.3 < a.s";
        let all = ["a.1 a.2", "a.1 a.2 a.s", "a.1 a.2 a.s"];
        // Nobody removed the rows of what was replaced: they were there.
        check(commits, "a.1 a.2 a.s a.3", &[&all[..], &["a.1 a.2 a.s ~ a.1 a.2"]].concat());
        // `migrate --prune` did.
        check(commits, "a.s a.3", &[&all[..], &["a.s"]].concat());
    }

    #[test]
    fn a_squash_of_which_a_commit_had_a_part() {
        let commits = "a.1
              a.2
            | a.s replaces a.1 a.2 a.3
            | a.s replaces a.1 a.2 a.3
              a.t replaces a.s a.4";
        check(commits, "a.1 a.2 a.3 a.s a.4 a.t", &["a.1 a.2", "a.1 a.2 a.3 a.s"]);
        check(commits, "a.t", &["a.1 a.2", "a.1 a.2 a.3 a.s"]);
        let without_words = "a.1
              a.2
            | a.s";
        check_with(without_words, "a.s", "a.s", "a.s replaces a.1 a.2 a.3", &["a.1 a.2"]);
    }

    #[test]
    fn a_squash_that_nobody_understands() {
        let commits = "a.1
            | a.s?
              a.2
            | a.3";
        let lost = "! the file of a.s does not say what it replaces";
        check(commits, "a.s a.2 a.3", &[lost, lost]);
        check_with(commits, "a.s a.2 a.3", "a.s a.2 a.3", "a.s replaces a.1", &["a.1", "a.2 a.s"]);
        check("a.1|a.2", "a.1 a.2", &["a.1"]);
    }

    #[test]
    fn migrations_that_were_made_anew() {
        let commits = "a.1
              a.2
              b.1
            | a.1_new
              b.1";
        check(commits, "a.1_new b.1", &["! none of its migrations of a is applied, but others of a are"]);
        check(commits, "b.1", &["b.1 - a.1 a.2"]);
    }

    #[test]
    fn an_app_that_comes_and_goes() {
        let left = "a.1
              tags.1
            | a.1";
        check(left, "a.1 tags.1 tags.2", &["a.1 tags.1"]);
        let came = "a.1
            | a.1
              tags.1";
        check(came, "a.1 tags.1", &["a.1"]);
        let between = "a.1
            | a.1
              b.1
            | a.1";
        check(between, "a.1 b.1", &["a.1", "a.1 b.1"]);
    }

    /// Commits that add migrations, squash some, drop what was squashed, and at last forget what a squash replaces.
    fn random_history(numbers: &mut impl FnMut(usize) -> usize) -> Vec<Tree> {
        let (mut trees, mut next) = (vec![tree("a.1")], 2);
        while trees.len() < 8 {
            let mut tree = trees.last().cloned().unwrap_or_default();
            match numbers(4) {
                0 => {
                    let squash = MigrationId::new("a", format!("s{next}"));
                    let files: Vec<_> = tree.files.iter().cloned().collect();
                    let (start, end) = (numbers(files.len()), numbers(files.len()));
                    let replaces = files[start.min(end)..=start.max(end)].to_vec();
                    tree.squashes.push(MigrationFacts { replaces, ..MigrationFacts::new(squash.clone()) });
                    tree.files.insert(squash);
                }
                1 if !tree.squashes.is_empty() => {
                    let squash = tree.squashes[numbers(tree.squashes.len())].clone();
                    tree.files.retain(|file| !squash.replaces.contains(file));
                }
                2 => tree.squashes.retain(|squash| {
                    squash.replaces.iter().any(|replaced| tree.files.contains(replaced)) || numbers(2) == 0
                }),
                _ => drop(tree.files.insert(MigrationId::new("a", next.to_string()))),
            }
            next += 1;
            trees.push(tree);
        }
        trees
    }

    #[test]
    fn a_release_is_the_state_that_its_files_stand_for() {
        let mut seed = 1_u64;
        let mut numbers = |limit: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap_or_default() % limit
        };
        for _ in 0..500 {
            let trees = random_history(&mut numbers);
            // Each commit was deployed, and Django marked its files as applied; sometimes rows without files were removed.
            let mut now: AppliedSet = trees.iter().flat_map(names).collect();
            if numbers(2) == 0 {
                now = names(&trees[7]).into_iter().collect();
            }
            let evidence =
                Evidence { now: &now, later: &now, trees: &trees, remembered: &[], own_app: "own" };
            let past = Past::new(evidence);
            for (place, tree) in trees.iter().enumerate() {
                let rebuilt = past.at(place).unwrap();
                let files: AppliedSet = tree.files.iter().cloned().collect();
                assert_eq!(
                    past.squashes.fold(&rebuilt.applied),
                    past.squashes.fold(&files),
                    "{trees:#?} {place}"
                );
            }
        }
    }
}
