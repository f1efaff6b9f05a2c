//! Why a text is no database URL, and what to write instead. No variant holds a part of the URL in which a
//! password could stand.

/// Why a text is not the URL of a database that can be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing was given, as when a variable is unset.
    #[error("the database URL is empty")]
    Empty,
    /// No `scheme://` at its beginning.
    #[error("the database URL has no scheme")]
    NoScheme,
    /// A URL with a password where other users can read it.
    #[error(
        "the database URL contains a password: on the command line every user can see it in the process list, \
         and it stays in the shell's history"
    )]
    PasswordOnCommandLine,
    /// MySQL and MariaDB.
    #[error("MySQL is not supported yet")]
    MySql,
    /// Any other database.
    #[error("a `{0}://` database is not supported")]
    UnsupportedScheme(String),
    /// An in-memory SQLite database.
    #[error("an in-memory SQLite database lives inside another process and cannot be opened from here")]
    InMemory,
    /// A SQLite URL with something between the second and the third slash.
    #[error("a SQLite URL has no host")]
    SqliteHost,
    /// A SQLite URL that ends where the path should begin.
    #[error("the SQLite URL names no file")]
    NoSqlitePath,
    /// Percent-encoded bytes that are no text.
    #[error("the {0} in the database URL is not UTF-8 once decoded")]
    NotUtf8(&'static str),
    /// A character that ends a part of the URL, most likely in a password.
    #[error("the database URL has a `/`, `?`, `#` or `@` where none can stand")]
    Unencoded,
    /// A list of hosts with a hole in it.
    #[error("the list of hosts in the database URL has an empty entry")]
    EmptyHost,
    /// A port that is no number, or out of range.
    #[error("the port of host `{host}` is not a number from 1 to 65535")]
    InvalidPort {
        /// The host before it.
        host: String,
    },
    /// Neither one port for all hosts nor one for each.
    #[error("there are {ports} ports for {hosts} hosts")]
    PortCount {
        /// How many hosts there are.
        hosts: usize,
        /// How many ports there are.
        ports: usize,
    },
    /// Neither the URL nor the environment says who connects.
    #[error("the database URL names no user")]
    NoUser,
    /// A parameter that this program does not know.
    #[error("`{0}` is not a parameter of a database URL that this program knows")]
    UnknownParameter(String),
    /// A parameter with a value it cannot have.
    #[error("`{value}` is not a value of `{name}`, which is {expected}")]
    InvalidValue {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A section of a service file, which is not read.
    #[error("`service` is not supported: the connection service file is not read")]
    Service,
    /// `verify-ca` with the machine's own certificates: any host with any public certificate would do.
    #[error("sslmode=verify-ca needs the certificate of your own authority")]
    VerifyCaWithoutRoot,
    /// Only one of `sslcert` and `sslkey`.
    #[error("`sslcert` and `sslkey` must be given together")]
    HalfClientCertificate,
}

impl UrlError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Empty => Some("set DATABASE_URL, for example to postgresql://user@host/name"),
            Self::NoScheme | Self::UnsupportedScheme(_) => {
                Some("write postgresql://user@host/name or sqlite:////path/to/file")
            }
            Self::PasswordOnCommandLine => Some(
                "put the URL into DATABASE_URL or into a file named with --database-file, or keep the \
                 password in PGPASSWORD or ~/.pgpass",
            ),
            Self::InMemory => Some("name a file: sqlite:////path/to/file"),
            Self::SqliteHost | Self::NoSqlitePath => {
                Some("sqlite:////path/to/file is an absolute path, sqlite:///file a relative one")
            }
            Self::NotUtf8(_) => Some("write the UTF-8 bytes of each character, `é` as %C3%A9"),
            Self::Unencoded => Some(
                "percent-encode it in the user, the password and the database: `/` is %2F, `?` is %3F, `#` \
                 is %23, `@` is %40",
            ),
            Self::InvalidPort { .. } => {
                Some("a `:` in a user name or a password is written %3A, an IPv6 address as [::1]")
            }
            Self::PortCount { .. } => Some("give one port for all hosts, or one for each of them"),
            Self::NoUser => Some("write postgresql://user@host/name, or set PGUSER"),
            Self::Service => Some("write the host, the database and the user into the URL"),
            Self::VerifyCaWithoutRoot => Some(
                "name its file with sslrootcert, or use sslmode=verify-full with the certificates of this \
                 machine",
            ),
            Self::MySql => Some("SQLite and PostgreSQL are"),
            Self::UnknownParameter(_)
            | Self::EmptyHost
            | Self::InvalidValue { .. }
            | Self::HalfClientCertificate => None,
        }
    }
}
