//! One request on its way: permission, redirects, and how much of the answer is taken.

use std::{net::SocketAddr, sync::Arc};

use reqwest::{
    Client, Method, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE,
        HeaderMap, HeaderName, HeaderValue, LOCATION,
    },
    redirect::Policy,
    retry,
};

use super::{
    super::{
        super::hosts::{Hosts, host_of, shown_host},
        outside::Trouble,
        test::faked::Faked,
    },
    call::{Call, shown_url},
    cause::{NoAddress, trouble},
};

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Takes what a case answers in a test.
    pub(super) fn made_up(answer: &Faked) -> Result<Self, Trouble> {
        let unusable = |what: &str| Trouble::new("http", format!("test.fake.http: {what}"));
        let mut headers = HeaderMap::new();
        for (name, value) in answer.texts("headers") {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| unusable("a header has a name that is none"))?;
            let value = HeaderValue::from_bytes(&value);
            headers.append(name, value.map_err(|_| unusable("a header has more than a line"))?);
        }
        let status = answer.number("status").filter(|status| *status >= 100);
        let status = status.ok_or_else(|| unusable("the status is none"))?;
        Ok(Self { status, headers, body: answer.bytes("body") })
    }
}

/// Builds a client that does what a script said and nothing more.
pub(super) fn client(mut tls: rustls::ClientConfig) -> Result<Client, String> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .user_agent(concat!("puad/", env!("CARGO_PKG_VERSION")))
        // A proxy would make the list of hosts meaningless.
        .no_proxy()
        // Followed here, where each hop is asked for its permission.
        .redirect(Policy::none())
        .retry(retry::never())
        .referer(false)
        .dns_resolver(Arc::new(SystemNames))
        // A connection that is kept may be closed by the server just as the next request goes out,
        // and whether that one was carried out nobody knows.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| error.to_string())
}

/// Asks whether the operator allows the host of a URL.
pub(super) fn permit(allowed: &Hosts, url: &Url) -> Result<(), Trouble> {
    let host = host_of(url).unwrap_or_default();
    let usual: &[u16] = if url.scheme() == "https" { &[443] } else { &[80] };
    let port = url.port_or_known_default().unwrap_or_default();
    if allowed.allow(&host, port, usual) {
        return Ok(());
    }
    Err(Trouble::not_allowed(&shown_host(&host, port, usual), "asked", "http"))
}

/// Sends a request, follows where it is sent to, and reads the answer.
pub(super) async fn run(
    client: &Client,
    allowed: &Hosts,
    mut call: Call,
) -> Result<Answer, Trouble> {
    let mut left = call.redirects;
    loop {
        let mut request =
            client.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let answer = request.send().await.map_err(|error| trouble(&error))?;
        let next = if call.redirects > 0 { next_hop(&call.url, &answer)? } else { None };
        let Some(next) = next else { return read(answer, &call).await };
        if left == 0 {
            let message = format!("more than {} redirects (redirects)", call.redirects);
            return Err(Trouble::new("limit", message));
        }
        left -= 1;
        let shown = shown_url(&next);
        permit(allowed, &next)
            .map_err(|refused| refused.while_doing(format_args!("redirected to {shown}")))?;
        redirect(&mut call, answer.status().as_u16(), next);
    }
}

/// Returns where an answer sends the request, if it does.
fn next_hop(from: &Url, answer: &Response) -> Result<Option<Url>, Trouble> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.headers().get(LOCATION) else { return Ok(None) };
    let unusable = || Trouble::new("http", "redirected to what is not an http or https URL");
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| unusable())?;
    let next = from.join(location).map_err(|_| unusable())?;
    if !matches!(next.scheme(), "http" | "https") || host_of(&next).is_none() {
        return Err(unusable());
    }
    Ok(Some(next))
}

/// Turns a call to where it is sent (9110 §15.4).
fn redirect(call: &mut Call, status: u16, mut next: Url) {
    let is_same_origin = next.origin() == call.url.origin();
    // Who may know the credentials was said for the first host; a redirect does not choose them.
    let (user, password) = match is_same_origin {
        true => (call.url.username().to_owned(), call.url.password().map(str::to_owned)),
        false => (String::new(), None),
    };
    if !is_same_origin {
        call.headers.remove(AUTHORIZATION);
        call.headers.remove(COOKIE);
    }
    // Only a URL without a host refuses a user.
    let _ = next.set_username(&user);
    let _ = next.set_password(password.as_deref());
    next.set_fragment(None);
    call.url = next;
    let becomes_get = match status {
        303 => call.method != Method::HEAD,
        // What everybody does, and 9110 §15.4.2 and §15.4.3 allow.
        301 | 302 => call.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        call.method = Method::GET;
        call.body = None;
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
            call.headers.remove(name);
        }
    }
}

/// Reads an answer to its end, or until it is too much.
async fn read(mut answer: Response, call: &Call) -> Result<Answer, Trouble> {
    let too_much = || {
        let message = format!("the body has more than {} bytes (max_bytes)", call.max_bytes);
        Trouble::new("limit", message)
    };
    let announced = answer.content_length().unwrap_or(0);
    // To HEAD the length is told of a body that does not come.
    if call.method != Method::HEAD && announced > call.max_bytes as u64 {
        return Err(too_much());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| trouble(&error))? {
        if body.len() + chunk.len() > call.max_bytes {
            return Err(too_much());
        }
        body.extend_from_slice(&chunk);
    }
    let status = answer.status().as_u16();
    Ok(Answer { status, headers: std::mem::take(answer.headers_mut()), body })
}

/// Names are resolved as every program of this machine does it.
struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let no_address = |why: String| NoAddress { name: name.clone(), why };
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => {
                    let found: Vec<SocketAddr> = found.collect();
                    if found.is_empty() {
                        return Err(no_address("it has none".into()).into());
                    }
                    Ok(Box::new(found.into_iter()) as Addrs)
                }
                Err(error) => Err(no_address(error.to_string()).into()),
            }
        })
    }
}
