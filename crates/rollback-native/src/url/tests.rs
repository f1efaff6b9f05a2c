use std::time::Duration;

use super::*;

/// What a URL comes to, as its `Display` or as an error with its hint.
fn read(text: &str, env: &[(&str, &str)]) -> String {
    let found =
        |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    match DatabaseUrl::parse(text, &found) {
        Ok(url) => url.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

fn check(text: &str, expected: &str) {
    assert_eq!(read(text, &[]), expected, "{text}");
}

fn check_env(text: &str, env: &[(&str, &str)], expected: &str) {
    assert_eq!(read(text, env), expected, "{text} {env:?}");
}

fn postgres(text: &str, env: &[(&str, &str)]) -> PostgresUrl {
    let found =
        |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    match DatabaseUrl::parse(text, &found).unwrap() {
        DatabaseUrl::Postgres(url) => *url,
        DatabaseUrl::Sqlite { path } => panic!("{text} is the file {}", path.display()),
    }
}

fn passwords(url: &PostgresUrl) -> Vec<Option<&str>> {
    url.servers.iter().map(|server| server.password.as_ref().map(Secret::expose)).collect()
}

#[test]
fn schemes() {
    for scheme in ["postgres", "postgresql", "postgis", "pgsql", "PostgreSQL"] {
        check(&format!("{scheme}://u@h/d"), "postgresql://u@h:5432/d?sslmode=verify-full");
    }
    check("  postgres://u@h/d\n", "postgresql://u@h:5432/d?sslmode=verify-full");
    check("mysql://u@h/d", "error: MySQL is not supported yet");
    check("mariadb://u@h/d", "error: MySQL is not supported yet");
    check("oracle://u@h/d", "error: a `oracle://` database is not supported");
    check("postgresql+psycopg://u@h/d", "error: a `postgresql+psycopg://` database is not supported");
    check("", "error: the database URL is empty");
    check("host=h password=x", "error: the database URL has no scheme");
    check("u:p@h://d", "error: the database URL has no scheme");
}

#[test]
fn sqlite_paths() {
    check("sqlite:////srv/app/db.sqlite3", "sqlite:////srv/app/db.sqlite3");
    check("sqlite:///nowhere/db.sqlite3", "sqlite:///nowhere/db.sqlite3");
    check("sqlite:////srv/with%20space%23.db?timeout=20", "sqlite:////srv/with space#.db");
    let memory = "error: an in-memory SQLite database belongs to another process and cannot be opened here";
    check("sqlite://:memory:", memory);
    check("sqlite:///:memory:", memory);
    check("sqlite://db.sqlite3", "error: a SQLite URL cannot have a host");
    check("sqlite://", "error: the SQLite URL names no file");
    check("sqlite:///", "error: the SQLite URL names no file");
    check("sqlite:////x?mode=ro", "error: unknown parameter `mode` in the database URL");
    check("sqlite:////x%FF", "error: the path in the database URL does not decode to UTF-8");
}

#[test]
fn three_slashes_mean_an_absolute_path_if_only_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db.sqlite3");
    let three_slashes = format!("sqlite://{}", file.display());
    check(&three_slashes, &format!("sqlite://{}", file.display()));
    std::fs::write(&file, "").unwrap();
    check(&three_slashes, &format!("sqlite:///{}", file.display()));
    // this package's own manifest: a relative file that exists stays relative
    check("sqlite:///Cargo.toml", "sqlite:///Cargo.toml");
}

#[test]
fn hosts_and_ports() {
    check("postgres://u@h:6000/d", "postgresql://u@h:6000/d?sslmode=verify-full");
    check("postgres://u@a:1,b:2,c/d", "postgresql://u@a:1,b:2,c:5432/d?sslmode=verify-full");
    check("postgres://u@/d?host=a,b&port=7", "postgresql://u@a:7,b:7/d?sslmode=verify-full");
    check("postgres://u@[::1]:6000/d", "postgresql://u@[::1]:6000/d?sslmode=prefer");
    check("postgres://u@[fe80::1]/d", "postgresql://u@[fe80::1]:5432/d?sslmode=verify-full");
    check("postgres://u@%2Fvar%2Frun/d", "postgresql://u@%2Fvar%2Frun:5432/d?sslmode=prefer");
    check("postgres://u@/d?host=/var/run", "postgresql://u@%2Fvar%2Frun:5432/d?sslmode=prefer");
    check("postgres://u@first/d?host=second", "postgresql://u@second:5432/d?sslmode=verify-full");
    check("postgres://u@h:65536/d", "error: the port of host `h` is not a number from 1 to 65535");
    check("postgres://u@h:0/d", "error: the port of host `h` is not a number from 1 to 65535");
    check("postgres://u@fe80::1/d", "error: the port of host `fe80` is not a number from 1 to 65535");
    check("postgres://u@a,,b/d", "error: the list of hosts in the database URL has an empty entry");
    check("postgres://u@a,b/d?port=1,2,3", "error: there are 3 ports for 2 hosts");
}

#[test]
fn users_and_databases() {
    check("postgres://a%40b:p@h/my%20db", "postgresql://a%40b@h:5432/my%20db?sslmode=verify-full");
    check("postgres://u@h", "postgresql://u@h:5432/u?sslmode=verify-full");
    check("postgres://h/d?user=u&dbname=e", "postgresql://u@h:5432/e?sslmode=verify-full");
    check("postgres://h/d", "error: the database URL names no user");
    check("postgres://%FF@h/d", "error: the user in the database URL does not decode to UTF-8");
    check_env("postgres://h/d", &[("USER", "ann")], "postgresql://ann@h:5432/d?sslmode=verify-full");
}

#[test]
fn how_tls_is_chosen() {
    let mode = |text: &str, expected: TlsMode| assert_eq!(postgres(text, &[]).tls.mode, expected, "{text}");
    mode("postgres://u@localhost/d", TlsMode::Prefer);
    mode("postgres://u@127.0.3.4/d", TlsMode::Prefer);
    mode("postgres://u@%2Ftmp,localhost/d", TlsMode::Prefer);
    mode("postgres://u@localhost,db/d", TlsMode::VerifyFull);
    mode("postgres://u@localhost.example/d", TlsMode::VerifyFull);
    mode("postgres://u@db/d?sslmode=allow", TlsMode::Prefer);
    mode("postgres://u@db/d?sslmode=require", TlsMode::Require);
    mode("postgres://u@db/d?sslmode=require&sslrootcert=/ca.pem", TlsMode::VerifyCa);
    mode("postgres://u@db/d?sslmode=verify-ca&sslrootcert=/ca.pem", TlsMode::VerifyCa);
    mode("postgres://u@db/d?sslmode=disable", TlsMode::Disable);
    check(
        "postgres://u@db/d?sslmode=no",
        "error: `no` is not a valid `sslmode`: use disable, allow, prefer, require, verify-ca or verify-full",
    );
    check(
        "postgres://u@db/d?sslmode=verify-ca",
        "error: sslmode=verify-ca requires the certificate of your own authority",
    );
    check("postgres://u@db/d?sslcert=/c", "error: `sslcert` and `sslkey` must be given together");
}

#[test]
fn which_authorities_are_trusted() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join(".postgresql/root.crt");
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    std::fs::write(&root, "").unwrap();
    let env = [("HOME", home.path().to_str().unwrap())];
    let roots = |text: &str| postgres(text, &env).tls.roots;
    assert_eq!(roots("postgres://u@db/d"), Roots::System);
    assert_eq!(roots("postgres://u@db/d?sslmode=verify-full"), Roots::File(root));
    assert_eq!(roots("postgres://u@db/d?sslmode=verify-full&sslrootcert=system"), Roots::System);
    assert_eq!(roots("postgres://u@db/d?sslrootcert=/ca.pem"), Roots::File("/ca.pem".into()));
}

#[test]
fn other_parameters() {
    let url = postgres(
        "postgres://u@h/d?connect_timeout=3&application_name=a%20b&options=-c%20x%3D1&currentSchema=my%20app\
         &target_session_attrs=primary&channel_binding=require&conn_max_age=600&conn_health_checks=true\
         &ssl_require=true&sslcert=/c&sslkey=/k&keepalives=1",
        &[],
    );
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(3)));
    assert_eq!(url.application_name, "a b");
    assert_eq!(url.options.as_deref(), Some(r"-c x=1 -c search_path=my\ app"));
    assert_eq!(url.target, SessionTarget::ReadWrite);
    assert_eq!(url.channel_binding, ChannelBinding::Require);
    assert_eq!(url.tls.client, Some(ClientCertificate { certificate: "/c".into(), key: "/k".into() }));
    check("postgres://u@h/d?sslmod=disable", "error: unknown parameter `sslmod` in the database URL");
    check(
        "postgres://u@h/d?service=x",
        "error: `service` is not supported: the connection service file is not read",
    );
    check(
        "postgres://u@h/d?connect_timeout=soon",
        "error: `soon` is not a valid `connect_timeout`: use a number of seconds",
    );
}

#[test]
fn defaults() {
    let url = postgres("postgres://u@h/d", &[]);
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(url.application_name, "django-rollback");
    assert_eq!((url.options, url.target), (None, SessionTarget::Any));
    assert_eq!(postgres("postgres://u@h/d?connect_timeout=0", &[]).connect_timeout, None);
}

#[test]
fn the_environment_fills_what_the_url_leaves_out() {
    let env = [
        ("PGHOST", "a,b"),
        ("PGPORT", "6000"),
        ("PGUSER", "ann"),
        ("PGDATABASE", "shop"),
        ("PGSSLMODE", "require"),
        ("PGSSLROOTCERT", ""),
        ("PGPASSWORD", "pw"),
    ];
    check_env("postgresql://", &env, "postgresql://ann@a:6000,b:6000/shop?sslmode=require");
    check_env("postgresql://u@h/d", &env, "postgresql://u@h:6000/d?sslmode=require");
    check_env("postgresql://u@h:1/d?sslmode=disable", &env, "postgresql://u@h:1/d?sslmode=disable");
    assert_eq!(passwords(&postgres("postgresql://u@a,b/d", &env)), [Some("pw"), Some("pw")]);
    assert_eq!(passwords(&postgres("postgresql://u:own@a/d", &env)), [Some("own")]);
}

#[test]
fn passwords_are_decoded() {
    let password = |text: &str, expected| assert_eq!(passwords(&postgres(text, &[])), [expected], "{text}");
    password("postgres://u:p%40ss%2F%3A%C3%A9@h/d", Some("p@ss/:é"));
    password("postgres://u:p@ss@h/d", Some("p@ss"));
    password("postgres://u:a:b@h/d", Some("a:b"));
    password("postgres://u:a+b%2Bc@h/d", Some("a+b+c"));
    password("postgres://u:@h/d", None);
    password("postgres://u@h/d?password=p%26q", Some("p&q"));
}

/// libpq and Python would take a part of the password for a host or a database, and print it.
#[test]
fn a_password_that_is_not_encoded_is_refused_and_not_shown() {
    let urls = [
        "postgres://u:12/34@h/d",
        "postgres://u:12?34@h/d",
        "postgres://u:12#34@h/d",
        "postgres://u:12?x=34@h/d",
        "postgres://u:1@2/34@h/d",
        "postgres://u:secret/34@h/d",
        "postgres://u:1234@h/d#x",
    ];
    for url in urls {
        check(url, "error: the database URL has a `/`, `?`, `#` or `@` where it is not allowed");
    }
}

#[cfg(unix)]
#[test]
fn the_password_file_is_used_unless_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    std::fs::write(&file, "a:5432:d:u:for a\nb:*:*:*:for b\nlocalhost:5432:d:u:for socket\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let env = [("HOME", home.path().to_str().unwrap())];

    mode(0o600);
    let url = postgres("postgres://u@a,b,c,%2Ftmp/d", &env);
    assert_eq!(passwords(&url), [Some("for a"), Some("for b"), None, Some("for socket")]);
    assert_eq!(url.exposed_password_file, None);
    let named = [("PGPASSFILE", file.to_str().unwrap())];
    assert_eq!(passwords(&postgres("postgres://u@b/d", &named)), [Some("for b")]);

    mode(0o640);
    let url = postgres("postgres://u@a/d", &env);
    assert_eq!(passwords(&url), [None]);
    assert_eq!(url.exposed_password_file, Some(file.clone()));
    assert_eq!(postgres("postgres://u:p@a/d", &env).exposed_password_file, None);
}

#[test]
fn an_argument_may_not_contain_a_password() {
    let env = |name: &str| (name == "PGPASSWORD").then(|| "from outside".to_owned());
    let refused = Err(UrlError::PasswordOnCommandLine);
    for url in [
        "postgres://u:pw@h/d",
        "postgres://h/d?user=u&password=pw",
        "postgres://h/d?pass%77ord=pw",
        "x://u:p@h",
    ] {
        assert_eq!(DatabaseUrl::parse_argument(url, &env), refused, "{url}");
    }
    for url in ["postgres://u@h/d", "postgres://u:@h/d", "sqlite:////srv/a:b@c.db"] {
        assert!(DatabaseUrl::parse_argument(url, &env).is_ok(), "{url}");
    }
    let hint = UrlError::PasswordOnCommandLine.hint().unwrap().to_owned();
    assert!(hint.contains("DATABASE_URL") && hint.contains("--database-file"), "{hint}");
}

#[test]
fn nothing_that_is_printed_has_the_password() {
    let env = |name: &str| (name == "PGPASSWORD").then(|| "hunter2".to_owned());
    for text in ["postgres://u:hunter2@h/d", "postgres://u@h/d?password=hunter2", "postgres://u@h/d"] {
        let url = DatabaseUrl::parse(text, &env).unwrap();
        let printed = format!("{url} {url:?} {url:#?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("Secret(…)"), "{printed}");
    }
}
