//! `http`: asking a web server that the operator has allowed.
//!
//! What a call says is read in [`call`]; sending, redirects and limits are in
//! [`transfer`], what a failure means in [`cause`].

mod call;
mod cause;
mod transfer;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, rc::Rc};

use mlua::{Lua, MultiValue, Table, Value};
use reqwest::Client;
use tokio::sync::Semaphore;

use super::{
    super::{host::Host, hosts::Hosts, testing::Outside, tls},
    Fault, bind, bind_async, json,
    outside::{Trouble, unless_rehearsal},
    test::faked,
};
use call::Call;
use transfer::Answer;

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let library = Rc::new(Library {
        host: host.clone(),
        allowed: Hosts::new(&host.allow.http),
        places: Semaphore::new(AT_A_TIME),
        clients: RefCell::default(),
    });
    let table = lua.create_table()?;
    for (name, op, read) in [
        ("get", "http.get", Call::get as fn(&Host, &MultiValue) -> Result<Call, Fault>),
        ("request", "http.request", Call::request),
    ] {
        let library = library.clone();
        let function = bind_async(lua, host, move |lua, args| {
            let library = library.clone();
            let call = read(&library.host, &args);
            async move {
                match library.run(op, call?).await {
                    Ok(answer) => {
                        let table = show(&lua, &library.host, answer)?;
                        Ok((Value::Table(table), Value::Nil))
                    }
                    Err(trouble) => Ok(trouble.give(&lua, &library.host, op)?),
                }
            }
        })?;
        table.set(name, function)?;
    }
    Ok(table)
}

/// What the calls of one script share.
struct Library {
    host: Rc<Host>,
    allowed: Hosts,
    places: Semaphore,
    /// One for the system's roots, and one per `ca_file`.
    clients: RefCell<BTreeMap<Option<PathBuf>, Kept>>,
}

/// A client, and what the file it trusts held when it was made.
struct Kept {
    roots: Vec<u8>,
    client: Client,
}

impl Library {
    async fn run(&self, op: &'static str, call: Call) -> Result<Answer, Trouble> {
        unless_rehearsal(&self.host, op)?;
        if !faked::is_open(&self.host) {
            transfer::permit(&self.allowed, &call.url)?;
        }
        let _place = self.places.acquire().await.expect("the places are never closed");
        let (timeout, what) = (call.timeout, call.shown());
        let whole = async {
            let made_up = faked::ask(&self.host, Outside::Http, || call.question());
            if let Some(answer) = made_up.await {
                return Answer::made_up(&answer?);
            }
            let client = self.client(call.ca_file.clone()).await?;
            transfer::run(&client, &self.allowed, call).await
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(result) => result.map_err(|trouble| trouble.while_doing(what)),
            Err(_) => {
                let message = format!("{what}: no whole answer within {timeout:?} (timeout)");
                Err(Trouble::new("timeout", message))
            }
        }
    }

    /// Returns the client that trusts what the call trusts; made at its first use.
    async fn client(&self, ca_file: Option<PathBuf>) -> Result<Client, Trouble> {
        let roots = match ca_file.clone() {
            None => Vec::new(),
            Some(path) => read_roots(path).await?,
        };
        if let Some(kept) = self.clients.borrow().get(&ca_file)
            && kept.roots == roots
        {
            return Ok(kept.client.clone());
        }
        let commons = self.host.commons.clone();
        let pem = ca_file.is_some().then(|| roots.clone());
        let config = tokio::task::spawn_blocking(move || commons.trust.client(pem.as_deref()));
        let config = config.await.map_err(|error| Trouble::new("io", error.to_string()))?;
        let config = config.map_err(|why| {
            let file = ca_file.as_deref().unwrap_or(std::path::Path::new("")).display();
            Trouble::new("tls", format!("ca_file {file}: {why}"))
        })?;
        let client = transfer::client(config).map_err(|error| Trouble::new("io", error))?;
        let mut clients = self.clients.borrow_mut();
        // Scripts have one or two such files; one that has many pays with new connections.
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(ca_file, Kept { roots, client: client.clone() });
        Ok(client)
    }
}

/// Reads a file of certificates away from the script's thread.
pub(super) async fn read_roots(path: PathBuf) -> Result<Vec<u8>, Trouble> {
    let file = path.clone();
    let read = tokio::task::spawn_blocking(move || tls::read_roots(&file)).await;
    let read = read.map_err(|error| Trouble::new("io", error.to_string()))?;
    read.map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => "not_found",
            std::io::ErrorKind::PermissionDenied => "permission",
            _ => "io",
        };
        Trouble::new(code, format!("ca_file {}: {error}", path.display()))
    })
}

fn show(lua: &Lua, host: &Rc<Host>, answer: Answer) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("status", answer.status)?;
    let headers = lua.create_table()?;
    for name in answer.headers.keys() {
        // 9110 §5.3 allows to join them; of Set-Cookie alone each has commas of its own.
        let between: &[u8] = if name == "set-cookie" { b"\n" } else { b", " };
        let values: Vec<&[u8]> =
            answer.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        headers.raw_set(name.as_str(), lua.create_string(values.join(between))?)?;
    }
    table.raw_set("headers", headers)?;
    let body = lua.create_string(answer.body)?;
    table.raw_set("body", &body)?;
    let owner = host.clone();
    table.raw_set(
        "json",
        bind(lua, host, move |lua, _: MultiValue| {
            Ok(json::value_of(lua, &owner, "json", &body.as_bytes())?)
        })?,
    )?;
    Ok(table)
}

/// Requests of one script at a time; further calls wait for their turn.
const AT_A_TIME: usize = 16;
const MOST_CLIENTS: usize = 8;
