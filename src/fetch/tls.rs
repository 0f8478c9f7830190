//! TLS for what is fetched: whom we trust, and what a refused certificate means.

use super::{FetchError, Kind};
use crate::clock;
use pure::limits::{CONNECT_MS_MAX, TRUST_MS};
use pure::time::Mono;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, crypto::ring};

/// What the system trusts, read now and then: it may be updated. It also remembers servers that know us.
#[derive(Default)]
pub(super) struct Trust(RefCell<Option<(Mono, Arc<ClientConfig>)>>);

impl Trust {
    pub(super) async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connect = |text| FetchError::new(Kind::Connect, text);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| connect(format!("{host} cannot have a certificate")))?;
        let handshake = TlsConnector::from(self.config().map_err(connect)?).connect(name, stream);
        match tokio::time::timeout(Duration::from_millis(CONNECT_MS_MAX), handshake).await {
            Err(_) => Err(connect(format!("{host} does not finish the TLS handshake"))),
            Ok(Err(error)) if is_about_certificate(&error) && !clock::wall_is_plausible() => Err(FetchError::new(
                Kind::Clock,
                format!("the certificate of {host} cannot be checked before this box knows the time ({error})"),
            )),
            Ok(Err(error)) => Err(connect(format!("no secure connection to {host}: {error}"))),
            Ok(Ok(stream)) => Ok(stream),
        }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut kept = self.0.borrow_mut();
        if let Some((at, config)) = &*kept {
            if clock::mono().ms_since(*at) < TRUST_MS {
                return Ok(Arc::clone(config));
            }
        }
        let config = read()?;
        *kept = Some((clock::mono(), Arc::clone(&config)));
        Ok(config)
    }
}

fn is_about_certificate(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .is_some_and(|inner| matches!(inner, Error::InvalidCertificate(_)))
}

fn read() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this box has no certificates to trust; install the package ca-certificates".to_owned());
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|config| Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
        .map_err(|error| format!("TLS does not work here: {error}"))
}
