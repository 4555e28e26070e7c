//! Versions of documents on the wire: who counts them, what makes them grow, what leaves them.

use puad::command::{Change, Document, Publish, RefreshWith};

use crate::support::{
    Sip, digest, secs,
    world::{ALICE, World, publish},
};

#[test]
fn each_publish_carries_the_next_version() {
    let mut world = World::granting(600);
    for dialog in ["a", "b", "c"] {
        let ticket = world.publish(dialogs(dialog));
        world.outcome(ticket).expect("granted");
    }
    assert_eq!(versions(&world.requests()), [0, 1, 2]);
    // The number is the only difference between what was built and what was sent, and the
    // Content-Length knows of it.
    let built = document("c").body;
    let built = std::str::from_utf8(&built).expect("UTF-8");
    let sent = world.requests()[2].text().to_owned();
    assert_eq!(sent, built.replace("version=\"0\"", "version=\"2\""));
    assert_eq!(world.requests()[2].need("Content-Length"), sent.len().to_string());
}

#[test]
fn a_version_of_more_digits_makes_the_document_longer() {
    let mut world = World::granting(600);
    for number in 0..=10 {
        world.publish(dialogs(&format!("d{number}")));
    }
    let requests = world.requests();
    assert_eq!(versions(&requests)[8..], [8, 9, 10]);
    assert_eq!(
        requests[10].text().len(),
        requests[9].text().len() + 2,
        "one in version, one in id"
    );
    assert_eq!(requests[10].need("Content-Length"), requests[10].text().len().to_string());
}

#[test]
fn credentials_and_repeats_keep_the_version() {
    let mut world = World::with_config(digest::config(|account| account.realms = vec!["r".into()]));
    world.dns.insert("example.com".into(), Ok(vec!["192.0.2.1".parse().expect("an address")]));
    world.peer = Box::new(|_, request| {
        let answer = match request.get("Authorization") {
            None => {
                let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
                request.answer(401).header("WWW-Authenticate", challenge).bytes()
            }
            Some(_) => request.granted("t", 600),
        };
        // Later than T1, so that each attempt is repeated once.
        vec![(0.7, answer)]
    });
    let dialogs = |dialog| Publish { presentity: digest::alice().presentity, ..dialogs(dialog) };
    world.publish(dialogs("a"));
    world.run_for(secs(5));
    assert_eq!(versions(&world.requests()), [0, 0, 0, 0], "two attempts, each sent twice");
    assert_eq!(world.distinct_requests().len(), 2);
    world.publish(dialogs("b"));
    world.run_for(secs(5));
    let distinct = world.distinct_requests();
    assert!(versions(&distinct)[2..].iter().all(|version| *version == 1), "whatever it takes");
    assert_eq!(world.changes(), [Change::Published; 2]);
}

#[test]
fn an_attempt_after_a_back_off_has_a_version_of_its_own() {
    // Whoever heard the first may have passed it on.
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        if count == 1 { request.answer(503).bytes() } else { request.granted("t", 600) }
    });
    world.publish(dialogs("a"));
    world.run_for(secs(60));
    assert_eq!(versions(&world.requests()), [0, 1]);
}

#[test]
fn a_412_starts_over_with_a_higher_version() {
    let mut world = World::with_peer({
        let mut count = 0;
        move |request| {
            count += 1;
            if count == 2 { request.answer(412).bytes() } else { request.granted("t", 600) }
        }
    });
    world.publish(dialogs("a"));
    world.publish(dialogs("b"));
    let requests = world.requests();
    assert_eq!(versions(&requests), [0, 1, 2], "watchers discard what is not newer");
    assert_eq!(requests[2].get("SIP-If-Match"), None, "an Initial");
}

#[test]
fn a_refresh_with_the_document_has_the_next_version_and_an_empty_one_has_none() {
    let mut world = World::granting(600);
    world.publish(Publish { refresh: Some(RefreshWith::Body), ..dialogs("a") });
    world.run_for(secs(1000));
    let requests = world.requests();
    assert!(requests.len() >= 3, "{}", requests.len());
    let counted: Vec<_> = (0..requests.len() as u32).collect();
    assert_eq!(versions(&requests), counted);

    let mut world = World::granting(600);
    world.publish(dialogs("a"));
    world.run_for(secs(500));
    assert_eq!(world.requests().last().expect("a refresh").text(), "");
    world.publish(dialogs("b"));
    assert_eq!(versions(&world.requests()), [0, 1], "the refreshes between them did not count");
}

#[test]
fn unchanged_is_judged_without_the_version() {
    let mut world = World::granting(600);
    world.publish(dialogs("a"));
    world.publish(dialogs("b"));
    let same = Publish { skip_unchanged: true, ..dialogs("b") };
    let ticket = world.publish(same);
    assert!(!world.outcome(ticket).expect("up already").sent);
    assert_eq!(versions(&world.requests()), [0, 1]);
    // So does a new version of the script that declares the same again.
    let ticket = world.publish(Publish { adopts: true, ..dialogs("b") });
    assert!(!world.outcome(ticket).expect("adopted").sent);
    assert_eq!(versions(&world.requests()), [0, 1]);
    world.publish(Publish { adopts: true, ..dialogs("c") });
    assert_eq!(versions(&world.requests()), [0, 1, 2], "the count goes on over a take-over");
    let shown = world.infos()[0].document.clone().expect("kept");
    assert_eq!(shown, document("c"), "what is kept shows version 0");
}

#[test]
fn a_call_with_the_document_on_its_way_joins_it() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(0.2, request.granted("t", 600))]);
    let skip = |dialog| Publish { skip_unchanged: true, ..dialogs(dialog) };
    world.publish(dialogs("a"));
    world.run_for(secs(1));
    let first = world.publish(skip("b"));
    let second = world.publish(skip("b"));
    world.run_for(secs(1));
    for ticket in [first, second] {
        world.outcome(ticket).expect("granted");
    }
    assert_eq!(versions(&world.requests()), [0, 1]);
}

#[test]
fn each_publication_counts_for_itself() {
    let mut world = World::granting(600);
    for (id, dialog) in [("x", "a"), ("y", "b"), ("x", "c"), ("y", "d")] {
        world.publish(Publish { id: id.into(), ..dialogs(dialog) });
    }
    assert_eq!(versions(&world.requests()), [0, 0, 1, 1]);
}

#[test]
fn a_version_that_the_author_gave_is_left_alone() {
    let mut world = World::granting(600);
    let own = |version: u32, dialog: &str| {
        let text = text(version, dialog);
        Publish { document: Some(Document::new(TYPE, text)), ..dialogs("") }
    };
    world.publish(own(7, "a"));
    world.publish(own(0, "b"));
    world.publish(dialogs("c"));
    world.publish(own(3, "d"));
    world.publish(dialogs("e"));
    assert_eq!(versions(&world.requests()), [7, 0, 0, 3, 1], "only counted ones count");
}

fn text(version: u32, dialog: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n\
         <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\">\
         <dialog id=\"{dialog}\"><state>early</state></dialog></dialog-info>"
    )
}

fn document(dialog: &str) -> Document {
    let text = text(0, dialog);
    let version = text.find("version=\"0").map(|at| at + "version=\"".len());
    Document { version, ..Document::new(TYPE, text) }
}

fn dialogs(dialog: &str) -> Publish {
    Publish { document: Some(document(dialog)), ..publish(ALICE, "dialog", TYPE, "") }
}

const TYPE: &str = "application/dialog-info+xml";

/// The versions of the documents among these requests.
fn versions(requests: &[Sip]) -> Vec<u32> {
    requests
        .iter()
        .filter(|request| !request.text().is_empty())
        .map(|request| {
            let text = request.text();
            let (_, rest) = text
                .split_once(" version=\"")
                .and_then(|(_, rest)| {
                    // The first is that of the XML declaration.
                    rest.split_once(" version=\"")
                })
                .expect("a version");
            rest.split('"').next().expect("its end").parse().expect("a number")
        })
        .collect()
}
