//! One long story about a PostgreSQL server: starting one costs more than all that is tried on it.

use std::time::{Duration, Instant};

use rollback_engine::ports::{Database, DatabaseErrorKind as Kind, Dialect, Purpose, Value};

use crate::server::{PASSWORD, Server};
use crate::{connect, refused};

#[test]
fn postgres() {
    let server = Server::start();
    values_go_there_and_back(&server);
    statements_repeat_without_names(&server);
    failures_have_their_kind(&server);
    transactions_go_round(&server);
    passwords(&server);
    names_and_sessions(&server);
    several_hosts(&server);
    tls_levels(&server);
    client_certificates(&server);
    prefer_falls_back(&server);
    self_signed_certificate(&server);
    a_server_without_tls(&server);
    a_server_that_hangs(&server);
}

/// The URL of the server's socket, where no password is asked for.
fn socket(server: &Server) -> String {
    format!("postgres://postgres@/postgres?host={}&port={}", server.socket_folder(), server.port)
}

/// A URL over TCP with the right password; `more` is parameters.
fn tcp(server: &Server, host: &str, more: &str) -> String {
    let password = PASSWORD.replace('/', "%2F");
    format!("postgresql://postgres:{password}@{host}:{}/postgres?{more}", server.port)
}

fn open(server: &Server) -> Box<dyn Database> {
    connect(&socket(server)).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn one(database: &mut dyn Database, sql: &str) -> Value {
    database.query(sql, &[]).unwrap()[0][0].clone()
}

fn values_go_there_and_back(server: &Server) {
    let mut database = open(server);
    assert_eq!(database.dialect(), Dialect::Postgres);
    let create =
        "CREATE TABLE v (big bigint, small smallint, words varchar(99), at timestamptz, yes boolean)";
    assert_eq!(database.execute(create, &[]), Ok(0));
    let insert = "INSERT INTO v VALUES ($1, $2, $3, $4, $5)";
    let words = text("é %s '\" $1");
    let params = [Value::Int(i64::MIN), Value::Int(7), words.clone(), Value::Null, Value::Null];
    assert_eq!(database.execute(insert, &params), Ok(1));
    assert_eq!(database.execute(insert, &[const { Value::Null }; 5]), Ok(1));
    let rows =
        database.query("SELECT * FROM v WHERE big = $1 OR words = $2", &[Value::Int(0), words.clone()]);
    assert_eq!(refused(rows).message, "the column \"at\" has the type timestamptz, which is not supported");
    let rows = database.query("SELECT big, small, words, at::text, yes FROM v WHERE words = $1", &[words]);
    assert_eq!(rows, Ok(vec![params.to_vec()]));
    assert_eq!(database.execute("UPDATE v SET small = 1", &[]), Ok(2));

    let types =
        "SELECT 1::int4, 2::oid, true, false, 'n'::name, 'c'::char(3), 'x'::\"char\", 'u', NULL::int4, '50%'";
    let expected = vec![
        Value::Int(1),
        Value::Int(2),
        Value::Int(1),
        Value::Int(0),
        text("n"),
        text("c  "),
        text("x"),
        text("u"),
        Value::Null,
        text("50%"),
    ];
    assert_eq!(database.query(types, &[]), Ok(vec![expected]));
    assert_eq!(database.query("-- nothing", &[]), Ok(vec![]));
    let params: Vec<Value> = (1..=12).map(Value::Int).collect();
    let row = database.query("SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12", &params);
    assert_eq!(row, Ok(vec![params]));
}

/// A pooler gives each transaction to another session: nothing may be left behind in one.
fn statements_repeat_without_names(server: &Server) {
    let mut database = open(server);
    for number in 0..5 {
        let row = database.query("SELECT $1, $2", &[Value::Int(number), text("same")]);
        assert_eq!(row, Ok(vec![vec![Value::Int(number), text("same")]]));
        database.execute("SELECT set_config('a.b', $1, true)", &[text("x")]).unwrap();
        assert_eq!(one(&mut *database, "SELECT count(*) FROM pg_prepared_statements"), Value::Int(0));
    }
}

fn failures_have_their_kind(server: &Server) {
    let mut database = open(server);
    database.execute("CREATE TABLE k (id int PRIMARY KEY, secret text)", &[]).unwrap();
    let missing = refused(database.query("SELECT * FROM nowhere", &[]));
    assert_eq!(
        (missing.kind, missing.message.as_str()),
        (Kind::MissingTable, "relation \"nowhere\" does not exist")
    );
    let insert = "INSERT INTO k VALUES ($1, $2)";
    let row = [Value::Int(424_242), text("sesame")];
    database.execute(insert, &row).unwrap();
    let duplicate = refused(database.execute(insert, &row));
    assert_eq!(duplicate.kind, Kind::Duplicate);
    assert!(!duplicate.message.contains("424242"), "{duplicate}");
    let two = refused(database.execute("SELECT 1; SELECT 2", &[]));
    assert_eq!(two.message, "cannot insert multiple commands into a prepared statement");
    database.execute("CREATE ROLE reader LOGIN", &[]).unwrap();
    let mut reader = connect(&socket(server).replace("postgres@", "reader@")).unwrap();
    assert_eq!(refused(reader.query("SELECT * FROM k", &[])).kind, Kind::PermissionDenied);
    let mut read_only =
        connect(&(socket(server) + "&options=-c%20default_transaction_read_only%3Don")).unwrap();
    assert_eq!(refused(read_only.execute("DELETE FROM k", &[])).kind, Kind::ReadOnly);
    let pid = one(&mut *reader, "SELECT pg_backend_pid()");
    database.query("SELECT pg_terminate_backend($1::int)", &[pid]).unwrap();
    assert_eq!(refused(reader.query("SELECT 1", &[])).kind, Kind::Unreachable);
    assert_eq!(refused(reader.begin(Purpose::Records)).kind, Kind::Unreachable);
}

fn transactions_go_round(server: &Server) {
    let mut database = open(server);
    let count = |database: &mut dyn Database| one(database, "SELECT count(*) FROM r");
    database.execute("CREATE TABLE r (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)", &[]).unwrap();
    database.begin(Purpose::Schema).unwrap();
    database.execute("INSERT INTO r VALUES (1)", &[]).unwrap();
    database.rollback().unwrap();
    assert_eq!(count(&mut *database), Value::Int(0));
    database.begin(Purpose::Records).unwrap();
    database.execute("INSERT INTO r VALUES (1)", &[]).unwrap();
    database.commit().unwrap();
    assert_eq!(count(&mut *open(server)), Value::Int(1));

    // a statement failed: the server answers COMMIT with ROLLBACK
    database.begin(Purpose::Records).unwrap();
    database.execute("INSERT INTO r VALUES (2)", &[]).unwrap();
    refused(database.execute("NONSENSE", &[]));
    let aborted = refused(database.commit());
    assert!(aborted.message.starts_with("current transaction is aborted"), "{aborted}");
    assert_eq!(count(&mut *database), Value::Int(1));

    // the commit itself fails, and the connection is of use afterwards
    database.begin(Purpose::Records).unwrap();
    database.execute("INSERT INTO r VALUES (1)", &[]).unwrap();
    assert_eq!(refused(database.commit()).kind, Kind::Duplicate);
    database.rollback().unwrap();
    database.begin(Purpose::Records).unwrap();
    database.commit().unwrap();
}

fn passwords(server: &Server) {
    let right = tcp(server, "127.0.0.1", "");
    connect(&right).unwrap();
    let at = format!("cannot connect to the PostgreSQL database \"postgres\" on 127.0.0.1:{}: ", server.port);
    let wrong = refused(connect(&right.replace("horse", "zebra")));
    assert_eq!(wrong.kind, Kind::Unreachable);
    assert_eq!(wrong.message, format!("{at}password authentication failed for user \"postgres\""));
    let none = refused(connect(&format!("postgres://postgres@127.0.0.1:{}/postgres", server.port)));
    assert_eq!(none.message, format!("{at}the server requires a password, and none was given"));
}

fn names_and_sessions(server: &Server) {
    let mut database = connect(&tcp(server, "127.0.0.1", "")).unwrap();
    assert_eq!(database.name(), format!("the PostgreSQL database \"postgres\" on 127.0.0.1:{}", server.port));
    assert_eq!(one(&mut *database, "SHOW application_name"), text("django-rollback"));
    let url = tcp(server, "127.0.0.1", "application_name=deploy%20job&currentSchema=tenant");
    let mut database = connect(&url).unwrap();
    assert_eq!(one(&mut *database, "SHOW application_name"), text("deploy job"));
    assert_eq!(one(&mut *database, "SHOW search_path"), text("tenant"));

    let missing = refused(connect(&socket(server).replace("/postgres?", "/nowhere?")));
    assert_eq!(missing.kind, Kind::Unreachable);
    assert!(missing.message.ends_with("database \"nowhere\" does not exist"), "{missing}");
    let unknown = refused(connect("postgres://u@nowhere.invalid/shop"));
    assert!(
        unknown
            .message
            .starts_with("cannot connect to the PostgreSQL database \"shop\" on nowhere.invalid:5432: ")
    );
    let no_socket = refused(connect("postgres://u@/shop?host=/nowhere"));
    assert_eq!(
        no_socket.message,
        "cannot connect to the PostgreSQL database \"shop\" on /nowhere:5432: no such file or directory"
    );
}

fn several_hosts(server: &Server) {
    let (folder, port) = (server.socket_folder().replace('/', "%2F"), server.port);
    let url = |target: &str| {
        format!("postgres://postgres@127.0.0.1:1,{folder}:{port}/postgres?target_session_attrs={target}")
    };
    let database = connect(&url("read-write")).unwrap();
    assert!(
        database.name().ends_with(&format!("on {}:{port}", server.socket_folder())),
        "{}",
        database.name()
    );
    let error = refused(connect(&url("read-only")));
    assert!(error.message.contains("on 127.0.0.1:1: connection refused; on /tmp/"), "{error}");
    assert!(error.message.ends_with("database is not read only"), "{error}");
}

/// Whether this session uses TLS, as the server sees it.
fn is_encrypted(url: &str) -> bool {
    let mut database = connect(url).unwrap();
    one(&mut *database, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == Value::Int(1)
}

#[track_caller]
fn check_refused(url: &str, words: &str) {
    let error = refused(connect(url));
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.message.contains(words), "{error}");
    assert!(!error.message.contains("correct-horse"), "{error}");
}

/// The server's certificate is of our authority and for `localhost`; 0.0.0.0 leads to this machine, too, but
/// does not look like it.
fn tls_levels(server: &Server) {
    let authority = server.certificates.certificate("authority");
    let other = server.certificates.certificate("other-authority");
    let url = |host: &str, more: &str| tcp(server, host, more);

    assert!(!is_encrypted(&url("localhost", "sslmode=disable")));
    assert!(is_encrypted(&url("localhost", "")));
    assert!(is_encrypted(&url("localhost", "sslmode=require")));
    assert!(is_encrypted(&url("127.0.0.1", "sslmode=require")));
    assert!(is_encrypted(&url("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={authority}"))));
    assert!(is_encrypted(&url("localhost", &format!("sslmode=verify-full&sslrootcert={authority}"))));
    assert!(!is_encrypted(&(socket(server) + "&sslmode=verify-full")));

    check_refused(
        &url("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={authority}")),
        "not valid for name",
    );
    check_refused(&url("localhost", &format!("sslmode=verify-full&sslrootcert={other}")), "UnknownIssuer");
    check_refused(&url("localhost", &format!("sslmode=verify-ca&sslrootcert={other}")), "UnknownIssuer");
    check_refused(&url("localhost", &format!("sslmode=require&sslrootcert={other}")), "UnknownIssuer");
    check_refused(&url("0.0.0.0", &format!("sslrootcert={authority}")), "not valid for name");
    check_refused(
        &url("localhost", "sslmode=verify-full&sslrootcert=/nowhere"),
        "cannot use /nowhere for TLS",
    );
    // with or without certificates on this machine, ours is not among them
    check_refused(&url("0.0.0.0", ""), "sslrootcert");
    let empty = server.certificates.key("authority");
    check_refused(
        &url("localhost", &format!("sslmode=verify-full&sslrootcert={empty}")),
        "it has no certificate",
    );
}

fn client_certificates(server: &Server) {
    let (certificate, key) = (server.certificates.certificate("client"), server.certificates.key("client"));
    open(server).execute("CREATE ROLE certified LOGIN", &[]).unwrap();
    let url = format!("postgres://certified@127.0.0.1:{}/postgres?sslmode=require", server.port);
    assert!(is_encrypted(&format!("{url}&sslcert={certificate}&sslkey={key}")));
    check_refused(&url, "requires a valid client certificate");
}

/// The server wants this role without TLS.
fn prefer_falls_back(server: &Server) {
    open(server).execute("CREATE ROLE plain LOGIN", &[]).unwrap();
    let url = format!("postgres://plain@127.0.0.1:{}/postgres", server.port);
    assert!(!is_encrypted(&url));
    check_refused(&format!("{url}?sslmode=require"), "pg_hba.conf");
}

/// Changes settings and waits until new sessions have them.
fn reload(server: &Server, settings: &[(&str, &str)]) {
    let mut database = open(server);
    for (name, value) in settings {
        database.execute(&format!("ALTER SYSTEM SET {name} = '{value}'"), &[]).unwrap();
    }
    database.query("SELECT pg_reload_conf()", &[]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    for (name, value) in settings {
        while one(&mut *open(server), &format!("SHOW {name}")) != text(value) {
            assert!(Instant::now() < deadline, "{name} is still not {value}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// PostgreSQL's documentation makes the server's certificate its own authority: rustls alone refuses that.
fn self_signed_certificate(server: &Server) {
    let (alone, key) = (server.certificates.certificate("alone"), server.certificates.key("alone"));
    reload(server, &[("ssl_cert_file", &alone), ("ssl_key_file", &key)]);
    let url =
        |host: &str, mode: &str, root: &str| tcp(server, host, &format!("sslmode={mode}&sslrootcert={root}"));
    assert!(is_encrypted(&url("localhost", "verify-full", &alone)));
    assert!(is_encrypted(&url("127.0.0.1", "verify-ca", &alone)));
    check_refused(&url("127.0.0.1", "verify-full", &alone), "not valid for name");
    let authority = server.certificates.certificate("authority");
    check_refused(&url("localhost", "verify-ca", &authority), "invalid peer certificate");
}

fn a_server_without_tls(server: &Server) {
    reload(server, &[("ssl", "off")]);
    assert!(!is_encrypted(&tcp(server, "localhost", "")));
    check_refused(&tcp(server, "localhost", "sslmode=require"), ": server does not support TLS");
    let authority = server.certificates.certificate("authority");
    check_refused(
        &tcp(server, "0.0.0.0", &format!("sslrootcert={authority}")),
        ": server does not support TLS (for remote hosts sslmode defaults to verify-full; in a network that \
         you trust, use sslmode=prefer)",
    );
    assert!(!is_encrypted(&tcp(server, "0.0.0.0", "sslmode=prefer")));
}

fn a_server_that_hangs(server: &Server) {
    server.freeze(true);
    let started = Instant::now();
    let outcome = connect(&tcp(server, "127.0.0.1", "connect_timeout=1&sslmode=disable"));
    server.freeze(false);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(refused(outcome).message.ends_with(": the server did not answer in time"));
}
