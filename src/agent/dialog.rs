//! A watcher's dialog from the notifier's end: what a SUBSCRIBE brings, what a NOTIFY is made of
//! (3261 §12).

use std::net::SocketAddr;

use super::Path;
use crate::sip::{
    ids::Branch,
    io::is_reliable,
    message::{Name, print::Writer, transport_text},
};

/// One dialog, made by a SUBSCRIBE.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// Our end as From writes it, tag included.
    pub(super) local: String,
    pub(super) local_tag: String,
    /// The watcher's end as To writes it, tag included.
    pub(super) remote: String,
    pub(super) remote_tag: String,
    pub(super) remote_target: String,
    /// Record-Route of the SUBSCRIBE, row by row: our route set as it stands.
    pub(super) route_set: Vec<String>,
    pub(super) local_seq: u32,
    pub(super) remote_seq: u32,
    /// Where the last SUBSCRIBE was answered to, and where every NOTIFY goes.
    pub(super) path: Path,
}

impl Dialog {
    /// Starts a NOTIFY, with all headers that belong to the dialog.
    pub(super) fn notify(&mut self, local: SocketAddr, branch: Branch) -> Writer {
        self.local_seq += 1;
        let rport = if is_reliable(self.path.transport) { "" } else { ";rport" };
        let transport = transport_text(self.path.transport);
        let mut out = Writer::request("NOTIFY", &self.remote_target);
        out.formatted(
            Name::Via,
            format_args!("SIP/2.0/{transport} {local}{rport};branch={branch}"),
        );
        for route in &self.route_set {
            out.header(Name::Route, route);
        }
        out.header(Name::MaxForwards, "70");
        out.header(Name::From, &self.local);
        out.header(Name::To, &self.remote);
        out.header(Name::CallId, &self.call_id);
        out.formatted(Name::CSeq, format_args!("{} NOTIFY", self.local_seq));
        out.header(Name::Contact, &contact(local, self.path));
        out
    }
}

/// Returns the agent's own Contact on this way.
pub(super) fn contact(local: SocketAddr, path: Path) -> String {
    format!("<sip:{local}{}>", if is_reliable(path.transport) { ";transport=tcp" } else { "" })
}
