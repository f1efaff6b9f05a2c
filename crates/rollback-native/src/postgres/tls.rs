//! TLS for PostgreSQL with libpq's levels of verification, over rustls with the ring provider.
//!
//! Every call names the provider: a default for the whole process would depend on who sets it first.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rollback_engine::ports::{DatabaseError, DatabaseErrorKind};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::url::{Roots, Tls, TlsMode};

/// Makes the driver's TLS connections. It verifies what the mode requires; the driver decides whether TLS is used at
/// all.
pub(crate) fn connector(tls: &Tls) -> Result<MakeRustlsConnect, DatabaseError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = verifier(tls, provider.signature_verification_algorithms)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("the TLS versions", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => builder
            .with_client_auth_cert(certificates(&client.certificate)?, private_key(&client.key)?)
            .map_err(|error| unusable(client.certificate.display(), error))?,
    };
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    tls: &Tls,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<Arc<dyn ServerCertVerifier>, DatabaseError> {
    let names = match tls.mode {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => return Ok(Arc::new(Unverified(algorithms))),
        TlsMode::VerifyCa => Names::Any,
        TlsMode::VerifyFull => Names::ThisHost,
    };
    let (roots, trusted) = match &tls.roots {
        Roots::System => (system_roots()?, Vec::new()),
        Roots::File(path) => {
            let trusted = certificates(path)?;
            (root_store(trusted.clone()), trusted)
        }
    };
    Ok(Arc::new(Verified { algorithms, roots, trusted, names }))
}

fn system_roots() -> Result<RootCertStore, DatabaseError> {
    let found = rustls_native_certs::load_native_certs();
    let roots = root_store(found.certs);
    if roots.is_empty() {
        let message = "this machine has no root certificates to verify the server: name its authority's \
                       certificate with sslrootcert";
        return Err(DatabaseError::new(DatabaseErrorKind::Unreachable, message));
    }
    Ok(roots)
}

fn root_store(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DatabaseError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unusable(path.display(), "it has no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(path.display(), error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, DatabaseError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unusable(path.display(), error))
}

fn unusable(what: impl Display, reason: impl Display) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Unreachable, &format!("cannot use {what} for TLS: {reason}"))
}

/// For which host a certificate must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Any,
    ThisHost,
}

/// Accepts the certificates of trusted authorities.
#[derive(Debug)]
struct Verified {
    algorithms: WebPkiSupportedAlgorithms,
    roots: RootCertStore,
    /// Also accepted as the server's own certificate: to rustls a self-signed one is no authority.
    trusted: Vec<CertificateDer<'static>>,
    names: Names,
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !self.trusted.contains(end_entity) {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if self.names == Names::ThisHost {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts every certificate: the connection is encrypted, but the other side may be anyone.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // To verify a signature rustls must read the certificate, and it would refuse an old one.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
