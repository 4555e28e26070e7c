//! Where the control socket is, and how a daemon comes to own it.
//!
//! A file left behind by a puad that has died is replaced; one that a living puad answers on is
//! not. Who may connect is said by the modes of folder and file, and upheld by the kernel.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::{
        linux::fs::MetadataExt as _,
        unix::{
            fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns where the socket is when nobody has said so: in the folder systemd made for the service,
/// in `/run/puad` for root, in the user's own runtime folder for everybody else.
pub fn usual(environment: Environment<'_>, is_root: bool) -> Option<PathBuf> {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    if let Some(folders) = set("RUNTIME_DIRECTORY") {
        // There may be several; the first is the service's main one.
        return folders.split(':').next().map(|folder| Path::new(folder).join(NAME));
    }
    if is_root {
        return Some(PathBuf::from(SYSTEM));
    }
    set("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("puad").join(NAME))
}

/// Returns where a client looks: where its user's own puad would be, then where the system's is.
pub fn candidates(environment: Environment<'_>, is_root: bool) -> Vec<PathBuf> {
    let mut found: Vec<_> = usual(environment, is_root).into_iter().collect();
    let system = PathBuf::from(SYSTEM);
    if !found.contains(&system) {
        found.push(system);
    }
    found
}

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another puad answers on it.
    #[error("another puad ({owner}) has the control socket {}; stop it, or give this one another [control] socket", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
        /// Who it is, as far as it can be told.
        owner: String,
    },
    /// Something that is no socket goes by this name.
    #[error("[control] socket: {} is there and is no socket; remove it, or choose another path", .0.display())]
    NoSocket(PathBuf),
    /// The system says no.
    #[error("[control] socket: cannot open {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// A socket of our own; dropping it removes the file.
#[derive(Debug)]
pub struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
    /// Device and number of the file, to tell it from one that another puad has put in its place.
    identity: (u64, u64),
}

impl Socket {
    /// Makes the socket, and its folder where that is missing.
    ///
    /// # Errors
    /// When somebody else has it, or the system refuses it.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { path: path.into(), source };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        // Two daemons that start at the same moment must not remove each other's socket.
        let _turn = Turn::take(folder).map_err(failed)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::NoSocket(path.into()));
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(stream) => {
                    return Err(BindError::Taken { path: path.into(), owner: owner(&stream) });
                }
                // Nobody is behind it any more.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            },
        }
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            .and_then(|socket| {
                socket.bind(&socket2::SockAddr::unix(path)?)?;
                // Before anybody can connect.
                fs::set_permissions(path, Permissions::from_mode(0o660))?;
                socket.listen(16)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            })
            .map_err(failed)?;
        let found = fs::symlink_metadata(path).map_err(failed)?;
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
        let identity = (found.st_dev(), found.st_ino());
        Ok(Self { listener: Some(listener), path: path.into(), identity })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the listener out; the file stays until the rest is dropped.
    pub(super) fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.st_dev(), found.st_ino()) == self.identity);
        if is_ours {
            // There is nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The right to make a socket in a folder.
struct Turn {
    #[expect(dead_code, reason = "the lock ends with it")]
    folder: File,
}

impl Turn {
    fn take(folder: &Path) -> io::Result<Self> {
        let folder = File::open(folder)?;
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(Self { folder }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Names the process behind a socket.
fn owner(stream: &UnixStream) -> String {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(peer) => format!("process {}", peer.pid.as_raw_nonzero()),
        Err(_) => "of another process".into(),
    }
}

const NAME: &str = "control.sock";
const SYSTEM: &str = "/run/puad/control.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_depends_on_who_runs_it() {
        let with = |set: &'static [(&str, &str)]| {
            move |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let xdg = with(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
        let unit = with(&[("RUNTIME_DIRECTORY", "/run/lamp:/run/b"), ("XDG_RUNTIME_DIR", "/x")]);
        let none = with(&[("XDG_RUNTIME_DIR", "")]);
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(usual(&xdg, false), path("/run/user/7/puad/control.sock"));
        assert_eq!(usual(&xdg, true), path("/run/puad/control.sock"));
        assert_eq!(usual(&unit, false), path("/run/lamp/control.sock"));
        assert_eq!(usual(&none, false), None);
        assert_eq!(candidates(&none, false), [PathBuf::from(SYSTEM)]);
        assert_eq!(
            candidates(&xdg, false),
            [PathBuf::from("/run/user/7/puad/control.sock"), SYSTEM.into()]
        );
    }

    #[test]
    fn the_folder_is_made_for_its_owner_and_the_file_for_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("puad").join("control.sock");
        let socket = Socket::bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o660));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_of_the_dead_is_replaced_and_one_of_the_living_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        // As a process that was killed leaves it: the file without a listener.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let living = Socket::bind(&path).unwrap();
        let refused = Socket::bind(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(refused.contains("control.sock"), "{refused}");
        assert!(UnixStream::connect(&path).is_ok(), "the refused one took nothing away");
        drop(living);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(BindError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_socket_of_a_successor_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_path_that_no_socket_can_have_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(120));
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, BindError::Io { .. }), "{error}");
        let error = Socket::bind(&folder.path().join("a/b/c")).unwrap_err();
        assert!(matches!(error, BindError::Io { .. }), "no folder above the folder: {error}");
    }
}
