//! Certificates for the test's server, made by the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, a certificate of it for `localhost`, and a self-signed one for `localhost`.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them all in a folder.
    pub(crate) fn make(folder: &Path) -> Self {
        let made = Self { folder: folder.to_owned() };
        made.self_signed("authority", "/CN=Test Authority", "");
        made.self_signed("other-authority", "/CN=Other Authority", "");
        made.self_signed("alone", "/CN=localhost", "subjectAltName=DNS:localhost");
        made.signed("server", "/CN=localhost", "subjectAltName=DNS:localhost");
        made.signed("client", "/CN=certified", "extendedKeyUsage=clientAuth");
        made
    }

    /// The file of a certificate.
    pub(crate) fn certificate(&self, name: &str) -> String {
        self.file(&format!("{name}.crt"))
    }

    /// The file of its private key.
    pub(crate) fn key(&self, name: &str) -> String {
        self.file(&format!("{name}.key"))
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn self_signed(&self, name: &str, subject: &str, extension: &str) {
        let (key, certificate) = (self.key(name), self.certificate(name));
        let mut args = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        args.extend(["-days", "2", "-subj", subject, "-keyout", &key, "-out", &certificate]);
        if !extension.is_empty() {
            args.extend(["-addext", extension]);
        }
        openssl(&args);
    }

    /// Signed by `authority`.
    fn signed(&self, name: &str, subject: &str, extension: &str) {
        let (key, certificate, request) =
            (self.key(name), self.certificate(name), self.file(&format!("{name}.csr")));
        let extensions = self.file(&format!("{name}.ext"));
        std::fs::write(&extensions, extension).unwrap();
        let mut args = vec!["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        args.extend(["-subj", subject, "-keyout", &key, "-out", &request]);
        openssl(&args);
        let (authority, authority_key) = (self.certificate("authority"), self.key("authority"));
        let mut args = vec!["x509", "-req", "-days", "2", "-in", &request, "-out", &certificate];
        args.extend([
            "-CA",
            &authority,
            "-CAkey",
            &authority_key,
            "-CAcreateserial",
            "-extfile",
            &extensions,
        ]);
        openssl(&args);
    }
}

fn openssl(args: &[&str]) {
    let output = Command::new("openssl").args(args).output();
    let output = output.expect("the tests need the program openssl: install the package openssl");
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
