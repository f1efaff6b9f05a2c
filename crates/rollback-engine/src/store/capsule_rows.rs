//! The rows that a way back is kept in: capsules, archived texts, the database's identity.

use std::collections::BTreeMap;

use rollback_core::capsule::is_name;
use rollback_core::{MigrationId, Stored, StoredError};

use super::archive;
use super::error::StoreError;
use super::row::{signature_values, text};
use super::signature::Signature;
use super::tables::Store;
use crate::ports::Value;

type Result<T> = std::result::Result<T, StoreError>;

/// A capsule's row, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapsuleRow {
    /// Which migration it says it is about.
    pub(crate) migration: MigrationId,
    /// Its document, under its content address.
    pub(crate) stored: Stored,
    /// Its signature, if it has one.
    pub(crate) signature: Option<Signature>,
}

impl CapsuleRow {
    /// A row for a migration whose real one is missing.
    pub(super) fn empty(migration: &MigrationId) -> Self {
        let stored = Stored { hash: String::new(), body: String::new() };
        Self { migration: migration.clone(), stored, signature: None }
    }
}

/// Of each migration the row that was written last. Format 1 had no capsules.
const NEWEST: &str =
    "id IN (SELECT MAX(id) FROM django_rollback_capsule WHERE format > 1 GROUP BY app, name)";

impl Store<'_> {
    /// What tells this database from others, in signatures; none before anything was signed.
    pub(crate) fn identity(&mut self) -> Result<Option<String>> {
        let rows = self.session.query("SELECT database FROM django_rollback_identity WHERE id = 1", &[])?;
        rows.into_iter()
            .next()
            .map(|row| self.reader(row, "the row of django_rollback_identity").text())
            .transpose()
    }

    /// As `identity`; gives the database one if it has none.
    pub(crate) fn ensure_identity(&mut self) -> Result<String> {
        if let Some(identity) = self.identity()? {
            return Ok(identity);
        }
        let new = self.session.random_text()?;
        let sql =
            "INSERT INTO django_rollback_identity (id, database) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
        self.session.execute(sql, &[text(&new)])?;
        let found = self.identity()?;
        Ok(found.unwrap_or(new))
    }

    /// The newest capsule of each migration. Rows with a name that no migration can have are ignored.
    pub(crate) fn newest_capsules(&mut self) -> Result<Vec<CapsuleRow>> {
        self.capsules_where(NEWEST, &[])
    }

    /// The content address of the newest capsule of each migration: what a save looks at, without the documents.
    pub(crate) fn newest_digests(&mut self) -> Result<BTreeMap<MigrationId, String>> {
        let sql = format!(
            "SELECT app, name, digest FROM django_rollback_capsule WHERE {NEWEST} AND length(body) <= {}",
            archive::LONGEST
        );
        let rows = self.session.query(&sql, &[])?;
        let mut digests = BTreeMap::new();
        for row in rows {
            let mut row = self.reader(row, "a row of django_rollback_capsule");
            let (migration, digest) = (MigrationId::new(row.text()?, row.text()?), row.text()?);
            if is_name(&migration.app) && is_name(&migration.name) {
                digests.insert(migration, digest);
            }
        }
        Ok(digests)
    }

    /// The capsule under this content address.
    pub(crate) fn capsule_with(&mut self, digest: &str) -> Result<Option<CapsuleRow>> {
        Ok(self.capsules_where("digest = $1", &[text(digest)])?.into_iter().next())
    }

    fn capsules_where(&mut self, condition: &str, params: &[Value]) -> Result<Vec<CapsuleRow>> {
        let sql = format!(
            "SELECT app, name, digest, body, key_id, signature FROM django_rollback_capsule \
             WHERE {condition} AND length(body) <= {}",
            archive::LONGEST
        );
        let rows = self.session.query(&sql, params)?;
        let mut capsules = Vec::with_capacity(rows.len());
        for row in rows {
            let mut row = self.reader(row, "a row of django_rollback_capsule");
            let migration = MigrationId::new(row.text()?, row.text()?);
            let stored = Stored { hash: row.text()?, body: row.text()? };
            let signature = row.signature()?;
            if is_name(&migration.app) && is_name(&migration.name) {
                capsules.push(CapsuleRow { migration, stored, signature });
            }
        }
        Ok(capsules)
    }

    /// Keeps a capsule. One with the same content is kept once; it gets the newer signature, and is the newest again.
    pub(crate) fn put_capsule(&mut self, row: &CapsuleRow) -> Result<()> {
        let now = self.session.rules().now();
        let CapsuleRow { migration, stored, signature } = row;
        self.session
            .execute("DELETE FROM django_rollback_capsule WHERE digest = $1", &[text(&stored.hash)])?;
        let sql = format!(
            "INSERT INTO django_rollback_capsule (app, name, digest, format, body, key_id, signature, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, {now})"
        );
        let format = Value::Int(rollback_core::capsule::CAPSULE_FORMAT.into());
        let (key_id, code) = signature_values(signature.as_ref());
        let params = [
            text(&migration.app),
            text(&migration.name),
            text(&stored.hash),
            format,
            text(&stored.body),
            key_id,
            code,
        ];
        Ok(self.session.execute(&sql, &params)?)
    }

    /// Keeps a packed text. Its hash is its name, so this repairs a damaged one.
    pub(crate) fn put_archived(&mut self, packed: &Stored) -> Result<()> {
        let sql = "INSERT INTO django_rollback_archive (hash, body) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE \
                   SET body = EXCLUDED.body WHERE django_rollback_archive.body <> EXCLUDED.body";
        Ok(self.session.execute(sql, &[text(&packed.hash), text(&packed.body)])?)
    }

    /// The text under this content address, checked against it.
    pub(crate) fn archived(&mut self, hash: &str) -> Result<std::result::Result<String, StoredError>> {
        // A row that is too long to be ours is not even fetched.
        let sql = "SELECT body FROM django_rollback_archive WHERE hash = $1 AND length(body) <= $2";
        let longest = Value::Int(i64::try_from(archive::LONGEST_PACKED).unwrap_or(i64::MAX));
        let rows = self.session.query(sql, &[text(hash), longest])?;
        let Some(row) = rows.into_iter().next() else { return Ok(Err(StoredError::Missing)) };
        let body = self.reader(row, "a row of django_rollback_archive").text()?;
        Ok(archive::unpack(&Stored { hash: hash.to_owned(), body }))
    }
}
