//! Applied sets and schemas: documents under the SHA-256 of their text, shared by the releases that have them.

use rollback_core::{AppliedSet, CommitId, Schema, Stored, StoredError};

use super::error::StoreError;
use super::releases::StoredRelease;
use super::row::text;
use super::tables::Store;
use crate::ports::Value;

type Result<T> = std::result::Result<T, StoreError>;

impl Store<'_> {
    /// The applied set under this content address, checked against it.
    pub(crate) fn applied_set(&mut self, release: &CommitId, hash: &str) -> Result<AppliedSet> {
        let rows = self
            .session
            .query("SELECT body FROM django_rollback_appliedset WHERE hash = $1", &[text(hash)])?;
        let what = format!("the list of migrations of release {release}");
        let Some(row) = rows.into_iter().next() else {
            return Err(self.damaged(&what, "it is missing"));
        };
        let stored = Stored { hash: hash.to_owned(), body: self.reader(row, &what).text()? };
        AppliedSet::decode(&stored).map_err(|error| StoreError::StoredSet { release: release.clone(), error })
    }

    /// The schema of the database as it is now.
    pub(crate) fn read_schema(&mut self) -> Result<Schema> {
        let rules = self.session.rules();
        Ok(self.session.ask(|database| rules.read_schema(database))?)
    }

    /// The schema that a release was saved with; `None` if it was saved without one.
    pub(crate) fn schema_of(&mut self, stored: &StoredRelease) -> Result<Option<Schema>> {
        self.stored_schema(&stored.release.commit, stored.schema.as_deref())
    }

    /// The schema that a release had at its end: the one that was seen before newer migrations came, or else the one
    /// that it was saved with.
    pub(crate) fn last_schema_of(&mut self, stored: &StoredRelease) -> Result<Option<Schema>> {
        self.stored_schema(
            &stored.release.commit,
            stored.final_schema.as_deref().or(stored.schema.as_deref()),
        )
    }

    fn stored_schema(&mut self, commit: &CommitId, hash: Option<&str>) -> Result<Option<Schema>> {
        let Some(hash) = hash else { return Ok(None) };
        let rows =
            self.session.query("SELECT body FROM django_rollback_schema WHERE hash = $1", &[text(hash)])?;
        let unusable = |error| StoreError::StoredSchema { release: commit.clone(), error };
        let Some(row) = rows.into_iter().next() else { return Err(unusable(StoredError::Missing)) };
        let what = format!("the stored schema of release {commit}");
        let document = Stored { hash: hash.to_owned(), body: self.reader(row, &what).text()? };
        Schema::decode(&document).map(Some).map_err(unusable)
    }

    /// Remembers the schema that a release has now that newer migrations come.
    pub(crate) fn set_final_schema(&mut self, id: i64, schema: &str) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET final_schema = $1 WHERE id = $2";
        Ok(self.session.execute(sql, &[text(schema), Value::Int(id)])?)
    }

    /// Stores a schema, unless it is stored already.
    pub(crate) fn put_schema(&mut self, schema: &Schema) -> Result<String> {
        let stored = schema.encode();
        let sql = "INSERT INTO django_rollback_schema (hash, body) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE \
                   SET body = EXCLUDED.body WHERE django_rollback_schema.body <> EXCLUDED.body";
        self.session.execute(sql, &[text(&stored.hash), text(&stored.body)])?;
        Ok(stored.hash)
    }

    /// Stores a set, unless it is stored already. Its hash is its name, so this repairs a damaged one.
    pub(crate) fn put_set(&mut self, set: &AppliedSet) -> Result<String> {
        let stored = set.encode();
        let sql = "INSERT INTO django_rollback_appliedset (hash, size, body) VALUES ($1, $2, $3) \
                   ON CONFLICT (hash) DO UPDATE SET size = EXCLUDED.size, body = EXCLUDED.body \
                   WHERE django_rollback_appliedset.body <> EXCLUDED.body";
        let size = Value::Int(i64::try_from(set.len()).unwrap_or(i64::MAX));
        self.session.execute(sql, &[text(&stored.hash), size, text(&stored.body)])?;
        Ok(stored.hash)
    }
}
