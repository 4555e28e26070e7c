//! Published state as watchers at a real presence server see it.

use puad::command::{Change, PublicationState, Publish, RefreshWith};

use crate::{
    kamailio::Kamailio,
    puad::{ALICE, Puad, lasting, mailbox, presence, publish},
    watcher::Watcher,
};

#[test]
fn presence_is_seen_changed_and_gone() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    let mut watcher = Watcher::subscribe(server.port(), ALICE, "presence");

    let initial = puad.publish(presence("in a meeting")).expect("accepted");
    assert_eq!(watcher.sees_text("in a meeting").need("Content-Type"), "application/pidf+xml");

    let modify = puad.publish(presence("back at the desk")).expect("accepted");
    let shown = watcher.sees_text("back at the desk");
    assert!(!shown.text().contains("meeting"), "the old state is still there: {}", shown.text());

    puad.remove(&presence("")).expect("accepted");
    // To its watchers Kamailio shows the absence of state as a closed tuple.
    let gone = watcher.sees("a closed tuple", |notify| notify.text().contains("closed"));
    assert!(!gone.text().contains("back at the desk"), "{}", gone.text());

    let [first, second, third] = &server.publishes()[..] else { panic!("three requests") };
    let tag = |published: &puad::command::Published| {
        published.entity_tag.as_ref().map(|tag| tag.as_str().to_owned())
    };
    assert_eq!(first.entity_tag, None);
    assert_eq!(second.entity_tag, tag(&initial));
    assert_eq!(third.entity_tag, tag(&modify));
    assert_eq!((third.expires.as_deref(), third.body_length), (Some("0"), 0));
}

#[test]
fn a_voicemail_lamp_goes_on_and_off() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    let mut lamp = Watcher::subscribe(server.port(), ALICE, "message-summary");

    puad.publish(mailbox(2)).expect("accepted");
    let on = lamp.sees_text("Messages-Waiting: yes");
    assert_eq!(on.need("Content-Type"), "application/simple-message-summary");
    assert!(on.text().contains("Voice-Message: 2/4 (0/0)"), "{}", on.text());

    puad.publish(mailbox(0)).expect("accepted");
    lamp.sees_text("Messages-Waiting: no");

    puad.remove(&mailbox(0)).expect("accepted");
    lamp.sees("nothing", |notify| notify.body.is_empty());
}

#[test]
fn a_ringing_phone_is_seen() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    let mut lamp = Watcher::subscribe(server.port(), ALICE, "dialog");
    let info = format!(
        "<?xml version=\"1.0\"?>\r\n\
         <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
         entity=\"{ALICE}\"><dialog id=\"call-1\" direction=\"recipient\"><state>early</state>\
         </dialog></dialog-info>\r\n"
    );
    puad.publish(publish("dialog", "application/dialog-info+xml", &info)).expect("accepted");
    lamp.sees("early", |notify| notify.text().contains("early"));
}

#[test]
fn pub_17_two_publications_of_one_person_live_apart() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    let desk = presence("at the desk");
    let mut phone = Publish { id: "phone".into(), ..presence("on the phone") };
    if let Some(document) = &mut phone.document {
        let text =
            String::from_utf8(document.body.to_vec()).expect("text").replace("desk\"", "p\"");
        document.body = text.into();
    }
    puad.publish(desk.clone()).expect("accepted");
    puad.publish(phone).expect("accepted");

    let mut watcher = Watcher::subscribe(server.port(), ALICE, "presence");
    watcher.sees("both", |notify| {
        notify.text().contains("at the desk") && notify.text().contains("on the phone")
    });
    puad.remove(&desk).expect("accepted");
    watcher.sees("the phone alone", |notify| {
        !notify.text().contains("at the desk") && notify.text().contains("on the phone")
    });
}

#[test]
fn a_short_lived_publication_is_kept_up_by_refreshes() {
    let server = Kamailio::start();
    let mut puad = Puad::towards(&server.uri());
    puad.publish(lasting(5, presence("still here"))).expect("accepted");
    for _ in 0..2 {
        let refreshed = puad.waits_for(Change::Refreshed);
        assert_eq!(refreshed.expires.map(|expires| expires.as_secs()), Some(5));
    }
    assert_eq!(puad.info().state, PublicationState::Published);

    let [initial, refreshes @ ..] = &server.publishes()[..] else { panic!("no request") };
    assert_eq!((initial.body_length > 0, refreshes.len()), (true, 2));
    for refresh in refreshes {
        assert!(refresh.entity_tag.is_some() && refresh.body_length == 0, "{refresh:?}");
    }
    // More than a lifetime after the Initial.
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("still here");
}

#[test]
fn pub_03_the_refresh_of_a_lamp_carries_its_document() {
    let server = Kamailio::start();
    let mut puad = Puad::towards(&server.uri());
    puad.publish(lasting(5, mailbox(1))).expect("accepted");
    let mut lamp = Watcher::subscribe(server.port(), ALICE, "message-summary");
    puad.waits_for(Change::Refreshed);
    lamp.sees_text("Messages-Waiting: yes");
    // Kamailio would pass an empty refresh on to the lamp as an empty NOTIFY.
    for notify in lamp.shown() {
        assert!(notify.text().contains("Messages-Waiting: yes"), "{notify:?}");
    }
    let [initial, refresh] = &server.publishes()[..] else { panic!("two requests") };
    assert_eq!(refresh.body_length, initial.body_length);
}

#[test]
fn a_server_that_loses_the_document_with_an_empty_refresh_is_served_by_full_ones() {
    // Kamailio's in-memory cache replaces the whole record, the document included.
    let server = Kamailio::in_memory();
    let mut puad = Puad::towards(&server.uri());
    let full = Publish { refresh: Some(RefreshWith::Body), ..presence("whole") };
    puad.publish(lasting(5, full)).expect("accepted");
    puad.waits_for(Change::Refreshed);
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("whole");
}
