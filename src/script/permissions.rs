//! What a script may reach outside of itself: nothing that its operator has not named.
//!
//! Read from `allow` of its `[[script]]` section; asked by the libraries that reach out.

use std::path::PathBuf;

/// The permissions of one script; by default there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Folders and files, absolute, below which `fs` may read and write.
    pub fs: Vec<PathBuf>,
    /// Programs that `exec` may run, as scripts write them: a name, which is looked for in the
    /// folders where a system keeps its programs, or an absolute path.
    pub exec: Vec<String>,
    /// Hosts that `http` may ask: a name, `*.example.com`, or either with `:port`; without one the
    /// ports are 80 for http and 443 for https. Read with [`HostRule`](super::HostRule).
    pub http: Vec<String>,
    /// Hosts that `mail.imap` may ask, written likewise; without a port 143 and 993 are meant.
    pub imap: Vec<String>,
    /// Name spaces that `kv.shared` may open.
    pub kv: Vec<String>,
}
