//! From the parts of a `postgresql://` URL and the environment to a connection with everything decided.
//!
//! The rules are libpq's, with one exception: a remote host's certificate is verified unless the URL says otherwise.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::url::environment::Environment;
use crate::url::split::{Split, decode};
use crate::url::{Secret, UrlError};

use super::passfile::{Login, PasswordFile};
use super::settings::Settings;
use super::{ChannelBinding, ClientCertificate, PostgresUrl, Roots, Server, SessionTarget, Tls, TlsMode};

const DEFAULT_PORT: &str = "5432";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The default folders of Unix sockets: that of Debian and Fedora, and that of PostgreSQL itself.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Reads a PostgreSQL URL.
pub(in crate::url) fn read(split: &Split<'_>, env: &Environment<'_>) -> Result<PostgresUrl, UrlError> {
    refuse_unencoded(split)?;
    let mut settings = Settings::new(split, env)?;
    fill_from_parts(&mut settings, split)?;
    let user = settings.get("user").or_else(|| system_user(&settings)).ok_or(UrlError::NoUser)?;
    let database = settings.get("dbname").unwrap_or_else(|| user.clone());
    let mut servers = servers(&settings)?;
    let exposed_password_file = add_passwords(&mut servers, &settings, &user, &database);
    Ok(PostgresUrl {
        tls: tls(&settings, &servers)?,
        servers,
        user,
        database,
        connect_timeout: connect_timeout(&settings)?,
        application_name: settings.get("application_name").unwrap_or_else(|| "django-rollback".to_owned()),
        options: options(&settings),
        target: target(&settings)?,
        channel_binding: channel_binding(&settings)?,
        exposed_password_file,
    })
}

/// A `/`, `?` or `#` in a password cuts the URL in the wrong places, and the rest would appear as a host, a database or
/// a parameter. Such a URL has an `@` or a `#` in a part that cannot have one.
fn refuse_unencoded(split: &Split<'_>) -> Result<(), UrlError> {
    let login = [split.user, split.password].into_iter().flatten();
    let names = split.query.iter().map(|(name, _)| name.as_str());
    let values = split.query.iter().map(|(_, value)| *value);
    // Without a user, the `@` of a value may be the one that should have ended a password.
    let has_at = names.clone().chain([split.path]).any(|part| part.contains('@'))
        || split.user.is_none() && values.clone().any(|value| value.contains('@'));
    let has_hash =
        login.chain([split.hosts, split.path]).chain(names).chain(values).any(|part| part.contains('#'));
    if has_at || has_hash { Err(UrlError::Unencoded) } else { Ok(()) }
}

fn fill_from_parts(settings: &mut Settings<'_>, split: &Split<'_>) -> Result<(), UrlError> {
    let (hosts, ports) = hosts_and_ports(split.hosts);
    let parts = [
        ("user", "user", split.user.unwrap_or_default()),
        ("password", "password", split.password.unwrap_or_default()),
        ("host", "host", hosts.as_str()),
        ("port", "port", ports.as_str()),
        ("dbname", "database", split.path),
    ];
    for (name, part, value) in parts {
        if !value.is_empty() {
            settings.fill(name, decode(value, part)?);
        }
    }
    Ok(())
}

/// `a:1,b` as `a,b` and `1,`; an empty text if there are no ports at all, so that `PGPORT` is used.
fn hosts_and_ports(list: &str) -> (String, String) {
    let (hosts, ports): (Vec<&str>, Vec<&str>) = list.split(',').map(host_and_port).unzip();
    let has_ports = ports.iter().any(|port| !port.is_empty());
    (hosts.join(","), if has_ports { ports.join(",") } else { String::new() })
}

fn host_and_port(text: &str) -> (&str, &str) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (address, rest.strip_prefix(':').unwrap_or(rest));
    }
    text.split_once(':').unwrap_or((text, ""))
}

/// The user of the operating system, as libpq has it.
fn system_user(settings: &Settings<'_>) -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| settings.variable(name))
}

fn servers(settings: &Settings<'_>) -> Result<Vec<Server>, UrlError> {
    let ports = settings.get("port").unwrap_or_else(|| DEFAULT_PORT.to_owned());
    let ports: Vec<&str> = ports.split(',').collect();
    let hosts = settings.get("host").unwrap_or_else(|| default_host(ports[0]));
    let hosts: Vec<&str> = hosts.split(',').collect();
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(UrlError::PortCount { hosts: hosts.len(), ports: ports.len() });
    }
    let ports = ports.iter().cycle();
    hosts.into_iter().zip(ports).map(|(host, port)| server(host, port)).collect()
}

/// The socket's folder if a server listens there, else this machine over TCP.
fn default_host(port: &str) -> String {
    let has_socket = |folder: &&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    SOCKET_FOLDERS.into_iter().find(has_socket).unwrap_or("localhost").to_owned()
}

fn server(host: &str, port: &str) -> Result<Server, UrlError> {
    if host.is_empty() {
        return Err(UrlError::EmptyHost);
    }
    let port = if port.is_empty() { DEFAULT_PORT } else { port };
    let invalid = || UrlError::InvalidPort { host: host.to_owned() };
    let port: u16 = port.parse().map_err(|_| invalid())?;
    if port == 0 {
        return Err(invalid());
    }
    Ok(Server { host: host.to_owned(), port, password: None })
}

/// Gives each server its password. Returns the password file if it was not used.
fn add_passwords(
    servers: &mut [Server],
    settings: &Settings<'_>,
    user: &str,
    database: &str,
) -> Option<PathBuf> {
    if let Some(password) = settings.get("password") {
        for server in servers {
            server.password = Some(Secret::new(password.clone()));
        }
        return None;
    }
    let file = PasswordFile::read(&password_file(settings)?);
    for server in servers {
        let host = if has_default_socket(server) { "localhost" } else { &server.host };
        let password = file.find(&Login { host, port: server.port, database, user });
        server.password = password.map(Secret::new);
    }
    match file {
        PasswordFile::Exposed(path) => Some(path),
        PasswordFile::Absent | PasswordFile::Text(_) => None,
    }
}

/// A password file names the usual socket `localhost`.
fn has_default_socket(server: &Server) -> bool {
    SOCKET_FOLDERS.contains(&server.host.as_str())
}

fn password_file(settings: &Settings<'_>) -> Option<PathBuf> {
    let named = settings.get("passfile").map(PathBuf::from);
    let in_home = || settings.variable("HOME").map(|home| Path::new(&home).join(".pgpass"));
    let on_windows =
        || settings.variable("APPDATA").map(|folder| Path::new(&folder).join("postgresql/pgpass.conf"));
    named.or_else(in_home).or_else(on_windows)
}

fn tls(settings: &Settings<'_>, servers: &[Server]) -> Result<Tls, UrlError> {
    let chosen =
        settings.choose("sslmode", "disable, allow, prefer, require, verify-ca or verify-full", tls_mode)?;
    let named = settings.get("sslrootcert");
    let mode = match chosen {
        // As in libpq: whoever names an authority wants it verified.
        Some(TlsMode::Require) if named.is_some() => TlsMode::VerifyCa,
        Some(mode) => mode,
        None if servers.iter().all(Server::is_local) => TlsMode::Prefer,
        None => TlsMode::VerifyFull,
    };
    let roots = match named.as_deref() {
        Some("system") => Roots::System,
        Some(path) => Roots::File(PathBuf::from(path)),
        None if chosen.is_some() => default_roots(settings),
        None => Roots::System,
    };
    if mode == TlsMode::VerifyCa && roots == Roots::System {
        return Err(UrlError::VerifyCaWithoutRoot);
    }
    Ok(Tls { mode, chosen: chosen.is_some(), roots, client: client_certificate(settings)? })
}

fn tls_mode(text: &str) -> Option<TlsMode> {
    Some(match text {
        "disable" => TlsMode::Disable,
        "allow" | "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => return None,
    })
}

/// The authority if the URL asks for verification but names none: libpq's file, else this machine's authorities.
fn default_roots(settings: &Settings<'_>) -> Roots {
    let file = settings.variable("HOME").map(|home| Path::new(&home).join(".postgresql/root.crt"));
    file.filter(|file| file.exists()).map_or(Roots::System, Roots::File)
}

fn client_certificate(settings: &Settings<'_>) -> Result<Option<ClientCertificate>, UrlError> {
    match (settings.get("sslcert"), settings.get("sslkey")) {
        (Some(certificate), Some(key)) => {
            Ok(Some(ClientCertificate { certificate: certificate.into(), key: key.into() }))
        }
        (None, None) => Ok(None),
        _ => Err(UrlError::HalfClientCertificate),
    }
}

/// In seconds; 0 and less wait forever.
fn connect_timeout(settings: &Settings<'_>) -> Result<Option<Duration>, UrlError> {
    let seconds =
        settings.choose("connect_timeout", "a number of seconds", |text| text.parse::<i32>().ok())?;
    Ok(match seconds {
        None => Some(DEFAULT_TIMEOUT),
        Some(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs),
    })
}

fn options(settings: &Settings<'_>) -> Option<String> {
    let schema = settings.get("currentSchema").map(|schema| format!("-c search_path={}", escape(&schema)));
    match (settings.get("options"), schema) {
        (Some(options), Some(schema)) => Some(format!("{options} {schema}")),
        (options, schema) => options.or(schema),
    }
}

/// The server cuts its options at spaces without a backslash before them.
fn escape(option: &str) -> String {
    option.replace('\\', r"\\").replace(' ', r"\ ")
}

fn target(settings: &Settings<'_>) -> Result<SessionTarget, UrlError> {
    let expected = "any, read-write, primary, read-only or standby";
    let target = settings.choose("target_session_attrs", expected, |text| {
        Some(match text {
            "any" => SessionTarget::Any,
            "read-write" | "primary" => SessionTarget::ReadWrite,
            "read-only" | "standby" => SessionTarget::ReadOnly,
            _ => return None,
        })
    })?;
    Ok(target.unwrap_or(SessionTarget::Any))
}

fn channel_binding(settings: &Settings<'_>) -> Result<ChannelBinding, UrlError> {
    let binding = settings.choose("channel_binding", "disable, prefer or require", |text| {
        Some(match text {
            "disable" => ChannelBinding::Disable,
            "prefer" => ChannelBinding::Prefer,
            "require" => ChannelBinding::Require,
            _ => return None,
        })
    })?;
    Ok(binding.unwrap_or(ChannelBinding::Prefer))
}
