//! The connection to an IMAP server: TCP, TLS on top, and a bound on what comes in.

use std::{
    fmt::Debug,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    super::{
        super::{commons::Commons, tls},
        http::read_roots,
        outside::Trouble,
    },
    Call, Security, text,
};

/// Bytes both ways, whatever carries them.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Bytes for T {}

/// A connection from which only so much is read: a server can send without end.
#[derive(Debug)]
pub(super) struct Wire {
    bytes: Box<dyn Bytes>,
    left: usize,
}

impl Wire {
    /// Connects to the first address that answers.
    pub(super) async fn connect(call: &Call) -> Result<Self, Trouble> {
        let found = tokio::net::lookup_host((call.bare_host(), call.port)).await;
        let found = found.map_err(|error| {
            Trouble::new("dns", format!("no address for {}: {error}", call.host))
        })?;
        let mut last = Trouble::new("dns", format!("no address for {}", call.host));
        for address in found {
            if call.security == Security::Plain && !address.ip().is_loopback() {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(Self { bytes: Box::new(stream), left: MOST_BYTES }),
                Err(error) => last = trouble(&error),
            }
        }
        Err(last)
    }

    /// Puts TLS on top. What was read before the handshake and not yet looked at is gone with the
    /// reader that held it: nobody can slip in a line in front of the encrypted ones.
    pub(super) async fn encrypt(
        self,
        call: &Call,
        commons: &Arc<Commons>,
    ) -> Result<Self, Trouble> {
        let pem = match call.ca_file.clone() {
            None => None,
            Some(path) => Some(read_roots(path).await?),
        };
        let trusting = commons.clone();
        let config =
            tokio::task::spawn_blocking(move || trusting.trust.client(pem.as_deref())).await;
        let config = config.map_err(|error| Trouble::new("io", error.to_string()))?;
        let config = config.map_err(|why| Trouble::new("tls", format!("ca_file: {why}")))?;
        let name = ServerName::try_from(call.bare_host().to_owned());
        let name = name.map_err(|error| Trouble::new("tls", error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, self.bytes).await.map_err(|error| trouble(&error))?;
        Ok(Self { bytes: Box::new(stream), left: self.left })
    }
}

/// Says what an error of the connection means.
pub(super) fn trouble(error: &io::Error) -> Trouble {
    if let Some(inner) = error.get_ref() {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Trouble::new("tls", tls::explain(error));
        }
        if inner.is::<TooMuch>() {
            return Trouble::new("limit", inner.to_string());
        }
    }
    // In the middle of an answer, or of the encryption.
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return closed();
    }
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::TimedOut => "timeout",
        _ => "io",
    };
    Trouble::new(code, text::told(&error.to_string()))
}

/// The end of the connection where none was asked for.
pub(super) fn closed() -> Trouble {
    Trouble::new("io", "the server has closed the connection")
}

#[derive(Debug, thiserror::Error)]
#[error("the server says more than {MOST_BYTES} bytes")]
struct TooMuch;

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.bytes).poll_read(cx, buf);
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

/// A greeting, a login and one STATUS take a few hundred.
const MOST_BYTES: usize = 256 * 1024;
