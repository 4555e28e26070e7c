//! PUB rows: publications as a compositor sees them (RFC 3903).

use crate::support::{
    secs,
    world::{ALICE, World, presence},
};

#[test]
fn pub_02_an_initial_publish_has_a_body_and_no_tag() {
    let mut world = World::granting(3600);
    let ticket = world.publish(presence("<open/>"));
    let published = world.outcome(ticket).expect("granted");
    assert_eq!(published.entity_tag.expect("a tag").as_str(), "t1");
    let [initial] = &world.requests()[..] else { panic!("one request") };
    assert_eq!(initial.start, format!("PUBLISH {ALICE} SIP/2.0"));
    assert_eq!(initial.need("Event"), "presence");
    assert_eq!(initial.need("Content-Type"), "application/pidf+xml");
    assert_eq!(initial.text(), "<open/>");
    assert_eq!(initial.get("SIP-If-Match"), None);
}

#[test]
fn pub_13_a_412_to_a_refresh_leads_to_an_initial_with_the_whole_document() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        if count == 2 {
            request.answer(412).bytes()
        } else {
            request.granted(&format!("t{count}"), 600)
        }
    });
    world.publish(presence("<open/>"));
    world.run_for(secs(480));
    let requests = world.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].get("SIP-If-Match"), Some("t1"));
    assert_eq!(requests[1].get("Content-Type"), None);
    assert_eq!(requests[2].get("SIP-If-Match"), None);
    assert_eq!(requests[2].text(), "<open/>");
}
