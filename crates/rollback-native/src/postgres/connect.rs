//! Connects to one server after the other, each within its time. The message says what is wrong with each of them.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::config::{self, Config, SslMode};
use postgres::error::SqlState;
use postgres::{Client, Error};
use rollback_engine::ports::{DatabaseError, DatabaseErrorKind};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::url::{ChannelBinding, PostgresUrl, Server, SessionTarget, Tls, TlsMode};

use super::failure::cause;
use super::tls;

/// Why one server gave no connection.
enum Failure {
    TimedOut,
    Driver(Error),
}

/// Connects to the first server that is suitable, and returns it.
pub(super) fn first(url: &PostgresUrl) -> Result<(Client, &Server), DatabaseError> {
    let connector = tls::connector(&url.tls)?;
    let mut reasons = Vec::new();
    for server in &url.servers {
        match attempt(url, server, &connector) {
            Ok(client) => return Ok((client, server)),
            Err(failure) => reasons.push(format!("on {server}: {}", reason(&failure, url, server))),
        }
    }
    let message =
        format!("cannot connect to the PostgreSQL database \"{}\" {}", url.database, reasons.join("; "));
    Err(DatabaseError::new(DatabaseErrorKind::Unreachable, &message))
}

/// Connects to one server. As in libpq, `prefer` falls back to no TLS if TLS itself fails.
fn attempt(url: &PostgresUrl, server: &Server, connector: &MakeRustlsConnect) -> Result<Client, Failure> {
    let config = config(url, server);
    let retries = config.get_ssl_mode() == SslMode::Prefer;
    match in_time(config.clone(), connector, url.connect_timeout) {
        Err(Failure::Driver(error)) if retries && refuses_tls(&error) => {
            let mut plain = config;
            plain.ssl_mode(SslMode::Disable);
            in_time(plain, connector, url.connect_timeout)
        }
        outcome => outcome,
    }
}

fn config(url: &PostgresUrl, server: &Server) -> Config {
    let mut config = Config::new();
    config
        .host(&server.host)
        .port(server.port)
        .user(&url.user)
        .dbname(&url.database)
        .application_name(&url.application_name)
        .ssl_mode(if server.is_socket() { SslMode::Disable } else { ssl_mode(url.tls.mode) })
        .target_session_attrs(target(url.target))
        .channel_binding(channel_binding(url.channel_binding));
    if let Some(password) = &server.password {
        config.password(password.expose());
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    if let Some(timeout) = url.connect_timeout {
        config.connect_timeout(timeout);
    }
    config
}

/// The driver knows three modes; the connector decides what is verified.
fn ssl_mode(mode: TlsMode) -> SslMode {
    match mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    }
}

fn target(target: SessionTarget) -> config::TargetSessionAttrs {
    match target {
        SessionTarget::Any => config::TargetSessionAttrs::Any,
        SessionTarget::ReadWrite => config::TargetSessionAttrs::ReadWrite,
        SessionTarget::ReadOnly => config::TargetSessionAttrs::ReadOnly,
    }
}

fn channel_binding(binding: ChannelBinding) -> config::ChannelBinding {
    match binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    }
}

/// The driver's timeout ends when the socket is open: a stopped server, or a forwarded port with nothing behind it,
/// would hang forever. So a thread connects, and is abandoned if it takes too long. The time is doubled: once for the
/// socket, once for TLS and the login.
fn in_time(
    config: Config,
    connector: &MakeRustlsConnect,
    timeout: Option<Duration>,
) -> Result<Client, Failure> {
    let Some(timeout) = timeout else {
        return config.connect(connector.clone()).map_err(Failure::Driver);
    };
    let (sender, receiver) = mpsc::channel();
    let connector = connector.clone();
    // Nobody receives a connection that comes too late.
    thread::spawn(move || drop(sender.send(config.connect(connector))));
    match receiver.recv_timeout(timeout * 2) {
        Ok(outcome) => outcome.map_err(Failure::Driver),
        Err(_) => Err(Failure::TimedOut),
    }
}

/// Whether TLS is what fails: its handshake, or a server that only accepts this user without TLS.
fn refuses_tls(error: &Error) -> bool {
    is_handshake(error) || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// The driver distinguishes its kinds of failure only by their words.
fn is_handshake(error: &Error) -> bool {
    error.to_string().contains("TLS handshake")
}

fn reason(failure: &Failure, url: &PostgresUrl, server: &Server) -> String {
    let error = match failure {
        Failure::TimedOut => return "the server did not answer in time".to_owned(),
        Failure::Driver(error) => error,
    };
    if let Some(reported) = error.as_db_error() {
        return reported.message().to_owned() + &exposed_file(url, server);
    }
    let text = cause(error).map_or_else(|| error.to_string(), ToString::to_string);
    if text == "password missing" {
        return format!("the server requires a password, and none was given{}", exposed_file(url, server));
    }
    if is_handshake(error) {
        return format!("{}{}", text, tls_advice(&text, &url.tls));
    }
    without_number(&text)
}

/// Why an existing password was not used.
fn exposed_file(url: &PostgresUrl, server: &Server) -> String {
    match &url.exposed_password_file {
        Some(path) if server.password.is_none() => {
            format!(" (ignored {}, which other users can read: run `chmod 600` on it)", path.display())
        }
        _ => String::new(),
    }
}

fn tls_advice(text: &str, tls: &Tls) -> &'static str {
    if text.contains("UnknownIssuer") {
        " (name its authority's certificate with sslrootcert, or skip verification with sslmode=require)"
    } else if text.contains("does not support TLS") && !tls.chosen {
        " (for remote hosts sslmode defaults to verify-full; in a network that you trust, use sslmode=prefer)"
    } else {
        ""
    }
}

/// `Connection refused (os error 111)` as `connection refused`.
fn without_number(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
