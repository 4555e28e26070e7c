//! The pages `/metrics`, `/livez` and `/readyz` over HTTP.
//!
//! They are read and change nothing; only GET and HEAD are answered. What they say comes from a
//! [`Source`]; the metrics' format is in [`page`].

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::page;

/// Knows what the pages say.
pub trait Source: Send + Sync + 'static {
    /// Returns the metrics page, or why there is none.
    fn metrics(&self) -> impl Future<Output = Result<String, String>> + Send;
    /// Returns whether the parts that must never stand still are moving, or which does not.
    fn live(&self) -> impl Future<Output = Result<String, String>> + Send;
    /// Returns whether it can do its work, and how well; or why not.
    fn ready(&self) -> impl Future<Output = Result<String, String>> + Send;
}

/// Bounds on what clients can hold up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; further ones wait.
    pub connections: usize,
    /// Longest wait for a whole request.
    pub request: Duration,
    /// Longest life of a connection.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            request: Duration::from_secs(10),
            connection: Duration::from_secs(300),
        }
    }
}

/// A socket that nobody is served on yet.
#[derive(Debug)]
pub struct Bound(std::net::TcpListener);

impl Bound {
    /// Opens a socket.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Returns the address, with the port that was found.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until the task is dropped.
    ///
    /// # Errors
    /// When the socket cannot be used by this runtime.
    pub async fn serve<S: Source>(self, source: Arc<S>, limits: Limits) -> io::Result<Infallible> {
        let listener = TcpListener::from_std(self.0)?;
        let places = Arc::new(Semaphore::new(limits.connections));
        loop {
            let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (source, limits) = (source.clone(), limits.clone());
                    tokio::spawn(async move {
                        converse(stream, source, &limits).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the metrics page is lost");
                    // Without descriptors the next one would fail at once, too.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn converse<S: Source>(stream: TcpStream, source: Arc<S>, limits: &Limits) {
    let service = service_fn(move |request| {
        let source = source.clone();
        async move { Ok::<_, Infallible>(answer(&*source, &request).await) }
    });
    let connection = http1::Builder::new()
        // Without a timer of its own hyper waits for a request for ever.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(limits.connection, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a reader of the metrics page"),
    }
}

async fn answer<S: Source, B>(source: &S, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let said = match request.uri().path() {
        "/metrics" => source.metrics().await,
        "/livez" => source.live().await,
        "/readyz" => source.ready().await,
        _ => return text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n"),
    };
    match said {
        Ok(said) => text(StatusCode::OK, said),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(page::CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
