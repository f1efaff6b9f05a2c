//! A PostgreSQL connection with everything decided: what a URL and the environment come to.

mod passfile;
mod read;
mod settings;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Secret;

pub(super) use self::read::read;

/// Which server, database and user, and how the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The servers in the order in which they are tried; never empty.
    pub servers: Vec<Server>,
    /// Who connects.
    pub user: String,
    /// The database's name.
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// How long to wait for one server; `None` waits forever.
    pub connect_timeout: Option<Duration>,
    /// What the server's list of sessions shows.
    pub application_name: String,
    /// Command-line options for the server's session.
    pub options: Option<String>,
    /// Which of several servers is suitable.
    pub target: SessionTarget,
    /// Whether the password's proof is bound to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// A password file that was ignored because other users can read it.
    pub exposed_password_file: Option<PathBuf>,
}

/// One address at which the database may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name, an IP address, or the folder of a Unix socket, which begins with `/`.
    pub host: String,
    /// The port, which is also part of a socket's name.
    pub port: u16,
    /// The password for this server, from the URL, `PGPASSWORD` or the password file.
    pub password: Option<Secret>,
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// How strict it is.
    pub mode: TlsMode,
    /// Whether the user chose `mode`; otherwise it is the default for these hosts.
    pub chosen: bool,
    /// Which authorities are trusted.
    pub roots: Roots,
    /// What this client shows to the server.
    pub client: Option<ClientCertificate>,
}

/// How strict TLS is, in libpq's words. A Unix socket never uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server supports it, without verification; also `allow`.
    Prefer,
    /// TLS without verification.
    Require,
    /// TLS with a certificate of a trusted authority, for any host.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host.
    VerifyFull,
}

/// Which authorities a certificate may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those that this machine trusts.
    System,
    /// Those in a PEM file, and no others.
    File(PathBuf),
}

/// A certificate for this client and its private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// Which of several servers is suitable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTarget {
    /// Every server.
    Any,
    /// Only one that accepts writes; also `primary`.
    ReadWrite,
    /// Only one that does not; also `standby`.
    ReadOnly,
}

/// Whether the password's proof is bound to the TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If both sides support it.
    Prefer,
    /// Always; otherwise there is no connection.
    Require,
}

impl Server {
    /// Whether it is reached through a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether the connection stays on this machine, judged by the address as it is written.
    pub fn is_local(&self) -> bool {
        let is_loopback = |address: IpAddr| address.is_loopback();
        self.is_socket()
            || self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse().is_ok_and(is_loopback)
    }
}

/// `db.example:5432`, `[::1]:5432`, `/var/run/postgresql:5432`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            host if host.contains(':') && !self.is_socket() => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// The characters that are encoded in a part of a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'[')
    .remove(b']');

/// The URL without its password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let servers: Vec<String> = self.servers.iter().map(|server| encoded(&server.to_string())).collect();
        let (user, database) = (encoded(&self.user).replace(':', "%3A"), encoded(&self.database));
        write!(f, "postgresql://{user}@{}/{database}?sslmode={}", servers.join(","), self.tls.mode)
    }
}
