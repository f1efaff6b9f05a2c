//! Stories about SQLite files.

use std::path::{Path, PathBuf};
use std::process::Command;

use rollback_engine::ports::{Database, DatabaseErrorKind as Kind, Dialect, Purpose, Value};
use rollback_native::SqliteDatabase;
use tempfile::TempDir;

use crate::{connect, refused};

/// A folder with a SQLite file that has a table `t(id, name)` with one row.
fn folder_with_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite3");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE); INSERT INTO t VALUES (1, 'one')";
    connection.execute_batch(schema).unwrap();
    (folder, path)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn count(database: &mut dyn Database) -> Value {
    database.query("SELECT count(*) FROM t", &[]).unwrap()[0][0].clone()
}

fn pragma(database: &mut dyn Database, name: &str) -> Value {
    database.query(&format!("PRAGMA {name}"), &[]).unwrap()[0][0].clone()
}

#[test]
fn every_value_goes_there_and_back() {
    let (_folder, path) = folder_with_file();
    let mut database = connect(&format!("sqlite:///{}", path.display())).unwrap();
    assert_eq!(database.dialect(), Dialect::Sqlite);
    assert_eq!(database.name(), format!("the SQLite database at {}", path.display()));

    let insert = "INSERT INTO t VALUES ($1, $2)";
    assert_eq!(database.execute(insert, &[Value::Int(i64::MAX), text("é %s '\" $1 \0 end")]), Ok(1));
    assert_eq!(database.execute(insert, &[Value::Int(-2), Value::Null]), Ok(1));
    let rows = database.query("SELECT id, name FROM t WHERE id <> $1 ORDER BY id", &[Value::Int(1)]).unwrap();
    let expected =
        [vec![Value::Int(-2), Value::Null], vec![Value::Int(i64::MAX), text("é %s '\" $1 \0 end")]];
    assert_eq!(rows, expected);

    let row = database.query("SELECT 1.0, 2.5e-9, CAST(x'61ff62' AS TEXT), NULL, '100%' LIKE '100%'", &[]);
    let expected = vec![text("1.0"), text("2.5e-9"), text("a\u{fffd}b"), Value::Null, Value::Int(1)];
    assert_eq!(row, Ok(vec![expected]));
    let blob = refused(database.query("SELECT x'00' AS photo", &[]));
    assert_eq!(blob.message, "the column \"photo\" holds a blob, which is not supported");
}

/// `$10` after `$1` … `$9`: SQLite sorts nothing, it numbers the names as it meets them.
#[test]
fn twelve_parameters_keep_their_order() {
    let (_folder, path) = folder_with_file();
    let mut database = SqliteDatabase::open(&path).unwrap();
    let params: Vec<Value> = (1..=12).map(Value::Int).collect();
    let names: Vec<String> = (1..=12).map(|number| format!("${number}")).collect();
    let row = database.query(&format!("SELECT {}", names.join(", ")), &params).unwrap();
    assert_eq!(row[0], params);
    let error = refused(database.query("SELECT $1, $2", &params));
    assert_eq!(error.message, "the statement has 2 parameters, not 12");
}

#[test]
fn execute_counts_changed_rows() {
    let (_folder, path) = folder_with_file();
    let mut database = SqliteDatabase::open(&path).unwrap();
    assert_eq!(database.execute("INSERT INTO t VALUES (2, 'two'), (3, 'three')", &[]), Ok(2));
    assert_eq!(database.execute("CREATE TABLE other (id)", &[]), Ok(0));
    assert_eq!(database.execute("UPDATE t SET name = NULL RETURNING id", &[]), Ok(3));
    assert_eq!(database.execute("DELETE FROM t WHERE id = $1", &[Value::Int(9)]), Ok(0));
    assert_eq!(database.execute("-- nothing", &[]), Ok(0));
}

#[test]
fn failures_have_their_kind() {
    let (_folder, path) = folder_with_file();
    let mut database = SqliteDatabase::open(&path).unwrap();
    let missing = refused(database.query("SELECT * FROM nowhere", &[]));
    assert_eq!((missing.kind, missing.message.as_str()), (Kind::MissingTable, "no such table: nowhere"));
    assert_eq!(refused(database.execute("INSERT INTO t VALUES (1, 'again')", &[])).kind, Kind::Duplicate);
    assert_eq!(refused(database.execute("INSERT INTO t VALUES (5, 'one')", &[])).kind, Kind::Duplicate);
    assert_eq!(refused(database.execute("NONSENSE", &[])).kind, Kind::Other);
    let two = refused(database.execute("DELETE FROM t; DELETE FROM t", &[]));
    assert_eq!(two.message, "the text has more than one statement");
    assert_eq!(count(&mut database), Value::Int(1));
}

#[test]
fn transactions_go_round() {
    let (_folder, path) = folder_with_file();
    let mut database = SqliteDatabase::open(&path).unwrap();
    database.begin(Purpose::Records).unwrap();
    database.execute("DELETE FROM t", &[]).unwrap();
    assert_eq!(pragma(&mut database, "foreign_keys"), Value::Int(1));
    database.rollback().unwrap();
    assert_eq!(count(&mut database), Value::Int(1));

    database.begin(Purpose::Records).unwrap();
    database.execute("DELETE FROM t", &[]).unwrap();
    database.commit().unwrap();
    assert_eq!(count(&mut SqliteDatabase::open(&path).unwrap()), Value::Int(0));
    // ended already: nothing to take back, and no failure that hides the first one
    database.rollback().unwrap();
}

#[test]
fn foreign_keys_are_off_while_tables_change() {
    let (_folder, path) = folder_with_file();
    let mut database = SqliteDatabase::open(&path).unwrap();
    database
        .execute("CREATE TABLE child (t_id REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)", &[])
        .unwrap();
    for commits in [true, false] {
        assert_eq!(pragma(&mut database, "foreign_keys"), Value::Int(1));
        database.begin(Purpose::Schema).unwrap();
        assert_eq!(pragma(&mut database, "foreign_keys"), Value::Int(0));
        if commits { database.commit().unwrap() } else { database.rollback().unwrap() }
    }
    assert_eq!(pragma(&mut database, "foreign_keys"), Value::Int(1));

    database.begin(Purpose::Records).unwrap();
    database.execute("INSERT INTO child VALUES (77)", &[]).unwrap();
    assert_eq!(refused(database.commit()).message, "FOREIGN KEY constraint failed");
    assert_eq!(database.query("SELECT * FROM child", &[]), Ok(vec![]));
    database.begin(Purpose::Records).unwrap();
    database.rollback().unwrap();
}

#[test]
fn another_writer_makes_it_busy() {
    let (_folder, path) = folder_with_file();
    let mut database = SqliteDatabase::open(&path).unwrap();
    assert_eq!(pragma(&mut database, "busy_timeout"), Value::Int(5000));
    database.query("PRAGMA busy_timeout = 20", &[]).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(refused(database.begin(Purpose::Schema)).kind, Kind::Busy);
    assert_eq!(pragma(&mut database, "foreign_keys"), Value::Int(1));
    other.execute_batch("ROLLBACK").unwrap();
    database.begin(Purpose::Schema).unwrap();
    database.commit().unwrap();
}

#[test]
fn what_is_no_database_is_refused_and_nothing_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &Path, expected: &str| {
        let error = refused(SqliteDatabase::open(path));
        let expected = expected.replace("PATH", &path.display().to_string());
        assert_eq!((error.kind, error.message), (Kind::Unreachable, expected));
    };
    let missing = folder.path().join("missing.sqlite3");
    check(&missing, "there is no database file at PATH");
    assert!(!missing.exists());
    check(folder.path(), "PATH is a folder, not a database file");
    let other = folder.path().join("notes.txt");
    std::fs::write(&other, "these are notes and no database\n".repeat(100)).unwrap();
    check(&other, "the file at PATH is not a SQLite database");
}

/// A file that cannot be written, a folder that cannot be, and a file in WAL mode in such a folder.
#[cfg(unix)]
#[test]
fn read_only_files_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    if ran_as_ordinary_user("sqlite::read_only_files_can_be_read") {
        return;
    }
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let check = |path: &Path| {
        let mut database = SqliteDatabase::open(path).unwrap();
        assert_eq!(count(&mut database), Value::Int(1));
        let write = database.begin(Purpose::Records).and_then(|()| database.execute("DELETE FROM t", &[]));
        assert_eq!(refused(write).kind, Kind::ReadOnly);
        database.rollback().unwrap();
        assert_eq!(count(&mut database), Value::Int(1));
    };

    let (_folder, path) = folder_with_file();
    mode(&path, 0o444);
    check(&path);

    let (folder, path) = folder_with_file();
    mode(folder.path(), 0o555);
    check(&path);
    mode(folder.path(), 0o755);

    let (folder, path) = folder_with_file();
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    mode(folder.path(), 0o555);
    check(&path);
    mode(folder.path(), 0o755);

    mode(&path, 0o000);
    let message = refused(SqliteDatabase::open(&path)).message;
    assert!(message.starts_with("cannot open the database file at "), "{message}");
}

/// Nothing is read-only to root: root runs the test a second time as nobody, from a copy that nobody can read.
#[cfg(unix)]
fn ran_as_ordinary_user(test: &str) -> bool {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    if folder.path().metadata().unwrap().uid() != 0 {
        return false;
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("test");
    // by another program: a file that this one writes cannot be run while a sibling thread's new process has it
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(["--exact", test])
        .env("TMPDIR", "/tmp")
        .status()
        .expect("setpriv is needed to run this test as root: install util-linux");
    assert!(status.success(), "{test} failed as nobody");
    true
}
