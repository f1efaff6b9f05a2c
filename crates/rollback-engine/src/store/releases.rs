//! The list of releases.

use rollback_core::{CommitId, Release};

use super::error::StoreError;
use super::row::{json, signature_values, text};
use super::signature::Signature;
use super::tables::Store;
use crate::ports::{Row, Value};

type Result<T> = std::result::Result<T, StoreError>;

/// A release as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRelease {
    /// The part that everybody shows.
    pub(crate) release: Release,
    /// Where its applied set is.
    pub(crate) set: SetSource,
    /// Content address of the schema that the database had; `None` for a release that was saved before schemas were.
    pub(crate) schema: Option<String>,
    /// Content address of the schema when newer migrations came: what had been changed by hand until then is in it.
    pub(crate) final_schema: Option<String>,
    /// Content address of the list of its capsules; `None` for a release that was saved before there were any.
    pub(crate) manifest: Option<String>,
    /// The signature of that list; `None` if there was no key.
    pub(crate) signature: Option<Signature>,
}

/// The database numbers the releases that are saved, from here on. Those that were rebuilt from git are older than all of
/// them, and have lower numbers.
const FIRST_SAVED: i64 = 1;

impl StoredRelease {
    /// Whether it was rebuilt from git, and nobody has saved it since: a save stores the schema.
    pub(crate) fn is_imported(&self) -> bool {
        self.release.id < FIRST_SAVED && self.schema.is_none()
    }

    /// Whether 0.4.0 saved it, and its whole set is not stored yet.
    pub(crate) fn is_original(&self) -> bool {
        matches!(self.set, SetSource::Original { .. })
    }

    /// Content address of its applied set, if that is stored.
    pub(crate) fn set_hash(&self) -> Option<&str> {
        match &self.set {
            SetSource::Stored { hash, .. } => Some(hash),
            SetSource::Original { .. } => None,
        }
    }
}

/// Where the applied set of a release is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetSource {
    /// In our table of sets.
    Stored {
        /// Its content address.
        hash: String,
        /// How many migrations it has; `None` when the row is missing.
        size: Option<i64>,
    },
    /// Nowhere: 0.4.0 saved the release, with the newest row of each app only.
    Original {
        /// The text of its column `migrations`.
        newest_per_app: String,
    },
}

/// A release to write.
#[derive(Clone, Debug)]
pub(crate) struct NewRelease<'a> {
    /// The commit.
    pub(crate) commit: &'a CommitId,
    /// Its tags.
    pub(crate) tags: &'a [String],
    /// Content address of its applied set.
    pub(crate) set: &'a str,
    /// Content address of the schema.
    pub(crate) schema: &'a str,
    /// What 0.4.0 reads.
    pub(crate) newest_per_app: String,
}

/// A release to write that was rebuilt from git.
#[derive(Clone, Debug)]
pub(crate) struct PastRelease<'a> {
    /// The commit.
    pub(crate) commit: &'a CommitId,
    /// Its tags.
    pub(crate) tags: &'a [String],
    /// Content address of its applied set.
    pub(crate) set: &'a str,
    /// What 0.4.0 reads.
    pub(crate) newest_per_app: String,
    /// When the commit was made: seconds since 1970.
    pub(crate) committed_at: i64,
}

/// The end of the year 9999: no database takes much later times.
const LATEST_TIME: i64 = 253_402_300_799;

impl Store<'_> {
    /// The saved releases, newest first.
    pub(crate) fn releases(&mut self) -> Result<Vec<StoredRelease>> {
        let saved_at = self.session.rules().time_as_text("s.\"timestamp\"");
        let sql = format!(
            "SELECT s.id, s.\"commit\", s.tags, {saved_at}, s.applied_set, a.size, \
             CASE WHEN s.applied_set IS NULL THEN s.migrations END, s.schema, s.final_schema, \
             s.manifest, s.key_id, s.signature \
             FROM django_rollback_appsstate s LEFT JOIN django_rollback_appliedset a ON a.hash = s.applied_set \
             ORDER BY s.id DESC"
        );
        let rows = self.session.query(&sql, &[])?;
        rows.into_iter().map(|row| self.release(row)).collect()
    }

    fn release(&self, row: Row) -> Result<StoredRelease> {
        let mut row = self.reader(row, "a row of django_rollback_appsstate");
        let id = row.int()?;
        let commit = row.text()?;
        row.rename(format!("row {id} of django_rollback_appsstate"));
        let commit =
            commit.parse().map_err(|error| row.damaged(&format!("in the column commit, {error}")))?;
        let tags = row.optional_text()?.map_or(Ok(Vec::new()), |tags| row.json("tags", &tags))?;
        let release = Release { id, commit, tags, saved_at: row.optional_text()?.unwrap_or_default() };
        let set = match (row.optional_text()?, row.optional_int()?, row.optional_text()?) {
            (Some(hash), size, _) => SetSource::Stored { hash, size },
            (None, _, newest) => SetSource::Original { newest_per_app: newest.unwrap_or_default() },
        };
        let (schema, final_schema) = (row.optional_text()?, row.optional_text()?);
        let manifest = row.optional_text()?;
        let signature = row.signature()?;
        Ok(StoredRelease { release, set, schema, final_schema, manifest, signature })
    }

    /// Adds a release at the end of the list.
    pub(crate) fn insert_release(&mut self, release: &NewRelease<'_>) -> Result<()> {
        let now = self.session.rules().now();
        let sql = format!(
            "INSERT INTO django_rollback_appsstate (\"commit\", migrations, \"timestamp\", tags, applied_set, schema) \
             VALUES ($1, $2, {now}, $3, $4, $5)"
        );
        let params = [
            text(release.commit.as_str()),
            text(&release.newest_per_app),
            json(release.tags),
            text(release.set),
            text(release.schema),
        ];
        Ok(self.session.execute(&sql, &params)?)
    }

    /// Puts a release before all others, with the time of its commit. 0.4.0 orders by time, so that one may not be later
    /// than those of the others, whatever the clocks said.
    pub(crate) fn insert_before_all(&mut self, release: &PastRelease<'_>) -> Result<()> {
        let earliest = "SELECT min(\"timestamp\") FROM django_rollback_appsstate";
        let time = self.session.rules().before_all("$6", earliest);
        let sql = format!(
            "INSERT INTO django_rollback_appsstate (id, \"commit\", migrations, tags, applied_set, \"timestamp\") \
             VALUES ($1, $2, $3, $4, $5, {time})"
        );
        let oldest =
            self.session.query("SELECT min(id) FROM django_rollback_appsstate", &[])?.into_iter().next();
        let oldest = self.reader(oldest.unwrap_or_default(), "the lowest number of a release").int()?;
        let params = [
            Value::Int(oldest.min(FIRST_SAVED) - 1),
            text(release.commit.as_str()),
            text(&release.newest_per_app),
            json(release.tags),
            text(release.set),
            Value::Int(release.committed_at.clamp(0, LATEST_TIME)),
        ];
        Ok(self.session.execute(&sql, &params)?)
    }

    /// Gives a release another set and schema, and other tags; its place in the list and its time stay. The list of its
    /// capsules is for the set that it had.
    pub(crate) fn update_release(&mut self, id: i64, release: &NewRelease<'_>) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET migrations = $1, tags = $2, applied_set = $3, schema = $4, \
                   final_schema = NULL, manifest = NULL, key_id = NULL, signature = NULL WHERE id = $5";
        let params = [
            text(&release.newest_per_app),
            json(release.tags),
            text(release.set),
            text(release.schema),
            Value::Int(id),
        ];
        Ok(self.session.execute(sql, &params)?)
    }

    /// Gives a release that was saved before schemas were the one that it has.
    pub(crate) fn set_schema(&mut self, id: i64, schema: &str) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET schema = $1 WHERE id = $2 AND schema IS NULL";
        Ok(self.session.execute(sql, &[text(schema), Value::Int(id)])?)
    }

    /// Gives a release of 0.4.0 the set that was rebuilt for it, and tags. What it has already stays.
    pub(crate) fn adopt_release(&mut self, id: i64, set: Option<&str>, tags: &[String]) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET applied_set = $1, tags = $2 \
                   WHERE id = $3 AND applied_set IS NULL";
        Ok(self.session.execute(sql, &[set.map_or(Value::Null, text), json(tags), Value::Int(id)])?)
    }

    /// Takes all releases after this one off the list. History keeps them.
    pub(crate) fn remove_releases_after(&mut self, id: i64) -> Result<()> {
        Ok(self.session.execute("DELETE FROM django_rollback_appsstate WHERE id > $1", &[Value::Int(id)])?)
    }

    /// Gives a release its manifest, signed.
    pub(crate) fn set_manifest(
        &mut self,
        id: i64,
        manifest: &str,
        signature: Option<&Signature>,
    ) -> Result<()> {
        let sql =
            "UPDATE django_rollback_appsstate SET manifest = $1, key_id = $2, signature = $3 WHERE id = $4";
        let (key_id, code) = signature_values(signature);
        Ok(self.session.execute(sql, &[text(manifest), key_id, code, Value::Int(id)])?)
    }
}
