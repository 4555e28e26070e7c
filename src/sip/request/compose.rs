//! The bytes of a request: headers in the order proxies like, then the document.

use bytes::Bytes;

use super::{Candidate, Journey, METHOD};
use crate::sip::{
    auth::Nonces,
    ids::Branch,
    message::{Name, print::Writer, transport_text},
    wire::Wire,
};

impl Journey {
    /// Computes the credentials of this very request: the URI in them is its Request-URI, and each
    /// use of a nonce has a count of its own (7616 §3.4).
    pub(super) fn credentials(
        &mut self,
        candidate: Candidate,
        nonces: &Nonces,
        wire: &mut Wire,
    ) -> Vec<(Name, String)> {
        let is_trusted = self.check_trust().is_ok();
        let authority = self.authority(candidate).to_ascii_lowercase();
        let Some(account) = &self.draft.account else { return Vec::new() };
        let uri = self.target.as_str();
        let body = self.draft.document.as_ref().map_or(&[][..], |document| &document.body);
        let mut rows = Vec::new();
        for given in &mut self.given {
            given.nonce.clear();
            // Whoever else the request went to has no business with them (SEC-05).
            if !is_trusted || *given.key.server != *authority {
                continue;
            }
            let cnonce = wire.ids.token();
            if let Some(row) = nonces.credentials(&given.key, account, cnonce, METHOD, uri, body) {
                given.nonce = nonces.nonce(&given.key).unwrap_or_default().to_owned();
                rows.push((given.key.kind.header(), row));
            }
        }
        rows
    }

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
}
