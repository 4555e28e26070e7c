//! The bytes of a request: headers in the order proxies like, then the document.

use bytes::Bytes;

use super::{Journey, METHOD, hops::Candidate};
use crate::{
    command::ExtraHeaders,
    sip::{
        ids::Branch,
        message::{Name, print::Writer, transport_text, value},
        wire::Wire,
    },
};

impl Journey {
    /// Prints the request for one hop.
    pub(super) fn compose(
        &self,
        candidate: Candidate,
        sent_by: &str,
        branch: Branch,
        credentials: &[(Name, String)],
        wire: &Wire,
    ) -> Bytes {
        let draft = &self.draft;
        let mut out = Writer::request(METHOD, self.target.as_str());
        // rport asks a server to answer to where the request came from (3581 §3); on a connection it goes there anyway.
        let rport = if candidate.hop.is_reliable() { "" } else { ";rport" };
        out.formatted(
            Name::Via,
            format_args!(
                "SIP/2.0/{} {sent_by}{rport};branch={branch}",
                transport_text(candidate.hop.transport)
            ),
        );
        if let Some(proxy) =
            candidate.proxy.map(|at| &draft.proxies[at]).filter(|proxy| proxy.param("lr").is_some())
        {
            out.formatted(Name::Route, format_args!("<{proxy}>"));
        }
        out.header(Name::MaxForwards, "70");
        let address = draft.presentity.as_ref().address_of_record();
        out.formatted(Name::From, format_args!("<{address}>;tag={}", self.from_tag));
        out.formatted(Name::To, format_args!("<{address}>"));
        out.header(Name::CallId, &self.call_id);
        out.formatted(Name::CSeq, format_args!("{} {METHOD}", self.cseq));
        out.header(Name::Event, &draft.event);
        out.formatted(Name::Expires, format_args!("{}", draft.expires));
        if let Some(entity_tag) = &draft.entity_tag {
            out.header(Name::SipIfMatch, entity_tag.as_str());
        }
        for (name, value) in credentials {
            out.header(*name, value);
        }
        let extra = draft.extra_headers.rows();
        let names_agent = extra.iter().any(|(name, _)| name.eq_ignore_ascii_case("User-Agent"));
        if let Some(agent) = wire.config.user_agent.as_deref().filter(|_| !names_agent) {
            out.header(Name::UserAgent, agent);
        }
        for (name, value) in extra {
            out.named(name, value);
        }
        match &draft.document {
            Some(document) => {
                out.header(Name::ContentType, &document.content_type);
                out.finish(&document.body)
            }
            None => out.finish(b""),
        }
    }

    /// Takes the options a server named in Unsupported out of Require; returns whether any was there.
    pub(super) fn drop_options(&mut self, unsupported: &[&str]) -> bool {
        let mut dropped = false;
        let mut rows = Vec::new();
        for (name, text) in self.draft.extra_headers.rows() {
            if Name::of(name.as_bytes()) != Name::Require {
                rows.push((name.clone(), text.clone()));
                continue;
            }
            let (gone, kept): (Vec<_>, Vec<_>) = value::split_list(text)
                .partition(|option| unsupported.iter().any(|u| u.eq_ignore_ascii_case(option)));
            dropped |= !gone.is_empty();
            if !kept.is_empty() {
                rows.push((name.clone(), kept.join(", ")));
            }
        }
        if dropped && let Ok(headers) = ExtraHeaders::new(rows) {
            self.draft.extra_headers = headers;
        }
        dropped
    }
}
