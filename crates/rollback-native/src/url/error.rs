//! Why a text is not a database URL, and what to write instead. No variant holds a part of the URL that may be or
//! contain a password.

/// Why a text is not the URL of a database that can be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The URL is empty, for example because a variable is unset.
    #[error("the database URL is empty")]
    Empty,
    /// It does not begin with `scheme://`.
    #[error("the database URL has no scheme")]
    NoScheme,
    /// The URL has a password, and other users can read it.
    #[error(
        "the database URL contains a password: other users can see it in the process list, and the shell keeps it \
         in its history"
    )]
    PasswordOnCommandLine,
    /// MySQL and MariaDB.
    #[error("MySQL is not supported yet")]
    MySql,
    /// Any other database.
    #[error("a `{0}://` database is not supported")]
    UnsupportedScheme(String),
    /// An in-memory SQLite database.
    #[error("an in-memory SQLite database belongs to another process and cannot be opened here")]
    InMemory,
    /// A SQLite URL with something between the second and the third slash.
    #[error("a SQLite URL cannot have a host")]
    SqliteHost,
    /// A SQLite URL that ends where the path should begin.
    #[error("the SQLite URL names no file")]
    NoSqlitePath,
    /// Percent-encoded bytes that are not text.
    #[error("the {0} in the database URL does not decode to UTF-8")]
    NotUtf8(&'static str),
    /// A character that ends a part of the URL, most likely inside a password.
    #[error("the database URL has a `/`, `?`, `#` or `@` where it is not allowed")]
    Unencoded,
    /// A list of hosts with an empty entry.
    #[error("the list of hosts in the database URL has an empty entry")]
    EmptyHost,
    /// A port that is not a number, or out of range.
    #[error("the port of host `{host}` is not a number from 1 to 65535")]
    InvalidPort {
        /// The host before it.
        host: String,
    },
    /// Several ports, but not one for each host.
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
    /// An unknown parameter.
    #[error("unknown parameter `{0}` in the database URL")]
    UnknownParameter(String),
    /// A parameter with an invalid value.
    #[error("`{value}` is not a valid `{name}`: use {expected}")]
    InvalidValue {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// The valid values.
        expected: &'static str,
    },
    /// A section of a service file, which is not supported.
    #[error("`service` is not supported: the connection service file is not read")]
    Service,
    /// `verify-ca` with the machine's own certificates: it would accept any host with a public certificate.
    #[error("sslmode=verify-ca requires the certificate of your own authority")]
    VerifyCaWithoutRoot,
    /// Only one of `sslcert` and `sslkey`.
    #[error("`sslcert` and `sslkey` must be given together")]
    HalfClientCertificate,
}

impl UrlError {
    /// What to do about it, if that is known.
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
                Some("write a `:` in a user name or a password as %3A, and an IPv6 address as [::1]")
            }
            Self::PortCount { .. } => Some("give one port for all hosts, or one for each of them"),
            Self::NoUser => Some("write postgresql://user@host/name, or set PGUSER"),
            Self::Service => Some("write the host, the database and the user into the URL"),
            Self::VerifyCaWithoutRoot => Some(
                "name its file with sslrootcert, or use sslmode=verify-full with the certificates of this \
                 machine",
            ),
            Self::MySql => Some("supported databases: PostgreSQL, SQLite"),
            Self::UnknownParameter(_)
            | Self::EmptyHost
            | Self::InvalidValue { .. }
            | Self::HalfClientCertificate => None,
        }
    }
}
