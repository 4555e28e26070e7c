//! A server that asks for credentials, and a reader of what it is given.

use std::sync::Arc;

use puad::{
    command::Publish,
    sip::{
        Config,
        auth::Algorithm,
        config::{Account, Secret},
        message::Uri,
    },
};

use super::{
    Sip,
    world::{World, presence},
};

pub const ALICE: &str = "sip:alice@example.com";

/// A publish of presence for alice of example.com.
pub fn alice() -> Publish {
    Publish { presentity: Uri::parse(ALICE).expect("a URI"), ..presence("<open/>") }
}

/// A core with an account for example.com.
pub fn config(change: impl FnOnce(&mut Account)) -> Config {
    let mut account = Account {
        name: None,
        domain: "example.com".into(),
        username: "alice".into(),
        password: Secret::new("wonderland"),
        realms: vec!["example.com".into()],
        outbound_proxy: vec![],
        minimum_algorithm: Algorithm::Md5,
    };
    change(&mut account);
    Config { accounts: vec![Arc::new(account)], ..Config::default() }
}

/// A world in front of example.com, which grants what it does not challenge.
pub fn protected(ask: impl FnMut(&Sip) -> Option<Vec<u8>> + 'static) -> World {
    protected_with(config(|_| ()), ask)
}

pub fn protected_with(
    config: Config,
    mut ask: impl FnMut(&Sip) -> Option<Vec<u8>> + 'static,
) -> World {
    let mut world = World::with_config(config);
    let address = "192.0.2.1".parse().expect("an address");
    world.dns.insert("example.com".into(), Ok(vec![address]));
    let mut tags = 0;
    world.peer = Box::new(move |_, request| {
        let answer = ask(request).unwrap_or_else(|| {
            tags += 1;
            request.granted(&format!("t{tags}"), 600)
        });
        vec![(0.0, answer)]
    });
    world
}

pub fn challenge(request: &Sip, code: u16, header: &str, params: &str) -> Vec<u8> {
    request.answer(code).header(header, format!("Digest realm=\"example.com\", {params}")).bytes()
}

pub fn asks_once(params: &str) -> impl FnMut(&Sip) -> Option<Vec<u8>> + 'static {
    asks_once_rows(vec![format!("Digest realm=\"example.com\", {params}")])
}

/// Challenges whoever comes without credentials, with these rows.
pub fn asks_once_rows(rows: Vec<String>) -> impl FnMut(&Sip) -> Option<Vec<u8>> + 'static {
    move |request| {
        request.get("Authorization").is_none().then(|| {
            let answer = request.answer(401);
            rows.iter().fold(answer, |answer, row| answer.header("WWW-Authenticate", row)).bytes()
        })
    }
}

pub fn authorizations(world: &World) -> Vec<String> {
    world
        .requests()
        .iter()
        .filter_map(|request| request.get("Authorization").map(str::to_owned))
        .collect()
}

/// A parameter of a credentials row as written.
pub fn raw_param(row: &str, name: &str) -> String {
    let at = row.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in {row}"));
    let value = &row[at + name.len() + 2..];
    if !value.starts_with('"') {
        return value.split(',').next().expect("a value").to_owned();
    }
    let mut escaped = false;
    let end = value[1..]
        .find(|c| {
            let was_escaped = std::mem::replace(&mut escaped, false);
            escaped = c == '\\' && !was_escaped;
            c == '"' && !was_escaped
        })
        .expect("a closing quote");
    value[..end + 2].to_owned()
}

/// A parameter without its quotes.
pub fn param(row: &str, name: &str) -> String {
    raw_param(row, name).trim_matches('"').to_owned()
}

/// What the response must be, by a computation of our own.
pub fn md5_response(row: &str, realm: &str, uri: &str) -> String {
    use md5::Digest as _;
    let hash = |text: String| -> String {
        md5::Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let a1 = hash(format!("alice:{realm}:wonderland"));
    let a2 = hash(format!("PUBLISH:{uri}"));
    let (nonce, nc, cnonce) = (param(row, "nonce"), param(row, "nc"), param(row, "cnonce"));
    hash(format!("{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}"))
}
