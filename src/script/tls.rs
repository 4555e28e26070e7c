//! Whom TLS connections of scripts trust: the system's roots, and those of a file besides.
//!
//! Certificates are verified against the host that the script wrote. There is
//! no way to do without.

use std::{
    io::Read as _,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;

/// The system's roots, read once for all scripts.
#[derive(Debug, Default)]
pub(super) struct Trust {
    system: OnceLock<ClientConfig>,
}

impl Trust {
    /// Returns settings that trust the system's roots and those in `pem`. Reads files: not for a
    /// thread that scripts run on.
    ///
    /// # Errors
    /// When `pem` holds no certificate, or one that cannot be read.
    pub(super) fn client(&self, pem: Option<&[u8]>) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let Some(pem) = pem else {
            if let Some(config) = self.system.get() {
                return Ok(config.clone());
            }
            return match Verifier::new(provider.clone()) {
                Ok(verifier) => {
                    let config = build(provider, verifier)?;
                    Ok(self.system.get_or_init(|| config).clone())
                }
                // A system without roots: nobody is trusted, and what needs no TLS works.
                Err(_) => Ok(builder(provider)?
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth()),
            };
        };
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let roots = roots.map_err(|error| format!("it cannot be read as PEM ({error})"))?;
        if roots.is_empty() {
            return Err("it holds no certificate in PEM form".into());
        }
        let verifier = Verifier::new_with_extra_roots(roots, provider.clone());
        let verifier = verifier.map_err(|error| format!("a certificate in it is bad ({error})"))?;
        build(provider, verifier)
    }
}

fn build(provider: Arc<CryptoProvider>, verifier: Verifier) -> Result<ClientConfig, String> {
    Ok(builder(provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let builder = ClientConfig::builder_with_provider(provider);
    builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())
}

/// Reads a file of certificates, which a script named and which may be anything.
pub(super) fn read_roots(path: &Path) -> std::io::Result<Vec<u8>> {
    let other = |message: &str| std::io::Error::other(message.to_owned());
    // Looked at before it is opened: opening a FIFO waits for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(other("it is not a file"));
    }
    let mut pem = Vec::new();
    std::fs::File::open(path)?.take(MOST_ROOTS + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > MOST_ROOTS {
        return Err(other("it is larger than 1 MiB"));
    }
    Ok(pem)
}

const MOST_ROOTS: u64 = 1024 * 1024;

/// Returns what is wrong in the words of an operator, who can do something about an unknown issuer.
pub(super) fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "the certificate's issuer is not known to this system (ca_file names a file with others)"
                .into()
        }
        other => other.to_string(),
    }
}
