//! Certificates for the test's server, made in process.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// An authority, a certificate of it for `localhost`, and a self-signed one for `localhost`.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them all in a folder.
    pub(crate) fn make(folder: &Path) -> Self {
        let made = Self { folder: folder.to_owned() };
        let issuer = made.self_signed("authority", authority("Test Authority", &[]));
        made.self_signed("other-authority", authority("Other Authority", &[]));
        made.self_signed("alone", authority("localhost", &["localhost"]));
        made.signed("server", &params("localhost", &["localhost"]), &issuer);
        let mut client = params("certified", &[]);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        made.signed("client", &client, &issuer);
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

    fn self_signed(&self, name: &str, params: CertificateParams) -> Issuer<'static, KeyPair> {
        let key = KeyPair::generate().unwrap();
        self.write(name, &params.self_signed(&key).unwrap(), &key);
        Issuer::new(params, key)
    }

    fn signed(&self, name: &str, params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        self.write(name, &params.signed_by(&key, issuer).unwrap(), &key);
    }

    fn write(&self, name: &str, certificate: &Certificate, key: &KeyPair) {
        fs::write(self.certificate(name), certificate.pem()).unwrap();
        fs::write(self.key(name), key.serialize_pem()).unwrap();
        fs::set_permissions(self.key(name), Permissions::from_mode(0o600)).unwrap();
    }
}

fn authority(subject: &str, hosts: &[&str]) -> CertificateParams {
    let mut params = params(subject, hosts);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn params(subject: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}
