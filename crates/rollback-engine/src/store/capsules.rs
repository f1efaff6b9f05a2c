//! The rows that a way back is kept in: capsules, archived texts, the manifest of a release, the database's identity.

use std::collections::BTreeMap;

use rollback_core::capsule::is_name;
use rollback_core::{MigrationId, Stored, StoredError};
use serde::{Deserialize, Serialize};

use super::{Result, Store, now, text};
use crate::archive;
use crate::ports::Value;
use crate::signature::Signature;

/// A capsule's row, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapsuleRow {
    /// Which migration it says it is about.
    pub migration: MigrationId,
    /// Its document, under its content address.
    pub stored: Stored,
    /// Its signature, if it has one.
    pub signature: Option<Signature>,
}

/// Which capsule of each migration belongs to a release. Without it an older, properly signed row could be put in the
/// place of a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    capsules: Vec<(String, String, String)>,
}

const MANIFEST_FORMAT: u32 = 1;

/// Of each migration the row that was written last. Format 1 had no capsules.
const NEWEST: &str =
    "id IN (SELECT MAX(id) FROM django_rollback_capsule WHERE format > 1 GROUP BY app, name)";

impl Manifest {
    /// The manifest of these migrations, each with the content address of its capsule.
    pub fn of<'r>(digests: impl IntoIterator<Item = (&'r MigrationId, &'r String)>) -> Self {
        let entry = |(migration, digest): (&MigrationId, &String)| {
            (migration.app.clone(), migration.name.clone(), digest.clone())
        };
        let mut capsules: Vec<_> = digests.into_iter().map(entry).collect();
        capsules.sort();
        Self { format: MANIFEST_FORMAT, capsules }
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and hashes are strings: always valid JSON")
    }

    /// Reads its text.
    pub fn from_text(text: &str) -> std::result::Result<Self, StoredError> {
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| StoredError::Document(error.to_string()))?;
        if manifest.format > MANIFEST_FORMAT {
            return Err(StoredError::Newer { found: manifest.format, known: MANIFEST_FORMAT });
        }
        Ok(manifest)
    }

    /// The content address of each migration's capsule.
    pub fn digests(&self) -> BTreeMap<MigrationId, &str> {
        let entries = self.capsules.iter();
        entries.map(|(app, name, digest)| (MigrationId::new(app, name), digest.as_str())).collect()
    }
}

impl Store<'_> {
    /// What tells this database from others, in signatures; none before anything was signed.
    pub fn identity(&mut self) -> Result<Option<String>> {
        let rows = self.query("SELECT database FROM django_rollback_identity WHERE id = 1", &[])?;
        rows.into_iter()
            .next()
            .map(|row| self.reader(row, "the row of django_rollback_identity").text())
            .transpose()
    }

    /// As `identity`; gives the database one if it has none.
    pub fn ensure_identity(&mut self) -> Result<String> {
        if let Some(identity) = self.identity()? {
            return Ok(identity);
        }
        let new = self.new_token()?;
        let sql =
            "INSERT INTO django_rollback_identity (id, database) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
        self.execute(sql, &[text(&new)])?;
        let found = self.identity()?;
        Ok(found.unwrap_or(new))
    }

    /// The newest capsule of each migration. Rows with a name that no migration can have are nobody's.
    pub fn newest_capsules(&mut self) -> Result<Vec<CapsuleRow>> {
        self.capsules_where(NEWEST, &[])
    }

    /// The content address of the newest capsule of each migration: what a save looks at, without the documents.
    pub fn newest_digests(&mut self) -> Result<BTreeMap<MigrationId, String>> {
        let sql = format!(
            "SELECT app, name, digest FROM django_rollback_capsule WHERE {NEWEST} AND length(body) <= {}",
            archive::LONGEST
        );
        let rows = self.query(&sql, &[])?;
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
    pub fn capsule_with(&mut self, digest: &str) -> Result<Option<CapsuleRow>> {
        Ok(self.capsules_where("digest = $1", &[text(digest)])?.into_iter().next())
    }

    fn capsules_where(&mut self, condition: &str, params: &[Value]) -> Result<Vec<CapsuleRow>> {
        let sql = format!(
            "SELECT app, name, digest, body, key_id, signature FROM django_rollback_capsule \
             WHERE {condition} AND length(body) <= {}",
            archive::LONGEST
        );
        let rows = self.query(&sql, params)?;
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
    pub fn put_capsule(&mut self, row: &CapsuleRow) -> Result<()> {
        let now = now(self.database.dialect());
        let CapsuleRow { migration, stored, signature } = row;
        self.execute("DELETE FROM django_rollback_capsule WHERE digest = $1", &[text(&stored.hash)])?;
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
        self.execute(&sql, &params)
    }

    /// Keeps a packed text. Its hash is its name, so a damaged one is mended by this.
    pub fn put_archived(&mut self, packed: &Stored) -> Result<()> {
        let sql = "INSERT INTO django_rollback_archive (hash, body) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE \
                   SET body = EXCLUDED.body WHERE django_rollback_archive.body <> EXCLUDED.body";
        self.execute(sql, &[text(&packed.hash), text(&packed.body)])
    }

    /// The text under this content address, checked against it.
    pub fn archived(&mut self, hash: &str) -> Result<std::result::Result<String, StoredError>> {
        // A row that is too long to be ours is not even fetched.
        let sql = "SELECT body FROM django_rollback_archive WHERE hash = $1 AND length(body) <= $2";
        let longest = Value::Int(i64::try_from(archive::LONGEST_PACKED).unwrap_or(i64::MAX));
        let rows = self.query(sql, &[text(hash), longest])?;
        let Some(row) = rows.into_iter().next() else { return Ok(Err(StoredError::Missing)) };
        let body = self.reader(row, "a row of django_rollback_archive").text()?;
        Ok(archive::unpack(&Stored { hash: hash.to_owned(), body }))
    }

    /// Gives a release its manifest, signed.
    pub fn set_manifest(&mut self, id: i64, manifest: &str, signature: Option<&Signature>) -> Result<()> {
        let sql =
            "UPDATE django_rollback_appsstate SET manifest = $1, key_id = $2, signature = $3 WHERE id = $4";
        let (key_id, code) = signature_values(signature);
        self.execute(sql, &[text(manifest), key_id, code, Value::Int(id)])
    }
}

fn signature_values(signature: Option<&Signature>) -> (Value, Value) {
    match signature {
        Some(Signature { key_id, code }) => (text(key_id), text(code)),
        None => (Value::Null, Value::Null),
    }
}
