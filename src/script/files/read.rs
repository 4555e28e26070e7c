//! Reading regular files, whole or by lines.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, fstat};

use super::{FileError, Kind, beneath::Last, roots::Roots};

impl Roots {
    /// Returns the bytes of a file that has `max` of them at the most; `limit` says whose limit
    /// that is.
    pub(in crate::script) fn read(
        &self,
        path: &Path,
        max: usize,
        limit: &'static str,
    ) -> Result<Vec<u8>, FileError> {
        let file = self.open_to_read(path)?;
        let mut bytes = Vec::new();
        // By reading, not by asking: what /proc shows has no length.
        let mut limited = file.take(max as u64 + 1);
        limited.read_to_end(&mut bytes).map_err(|error| FileError::io(path, error))?;
        if bytes.len() > max {
            return Err(FileError::TooLong { path: path.to_owned(), max, limit });
        }
        Ok(bytes)
    }

    /// Opens a file to be read by lines.
    pub(in crate::script) fn lines(&self, path: &Path) -> Result<Lines, FileError> {
        let file = Some(self.open_to_read(path)?);
        Ok(Lines { path: path.to_owned(), file, bytes: Vec::new(), from: 0, searched: 0 })
    }

    fn open_to_read(&self, path: &Path) -> Result<File, FileError> {
        let opened = self.open(path, Last::Follow)?;
        reopen_regular(&opened, path, OFlags::RDONLY)
    }
}

/// Opens a file that has been found for what it is, if it is a regular one: opening a FIFO would
/// wait for its other end, and opening a device may do anything.
pub(super) fn reopen_regular(
    found: &OwnedFd,
    path: &Path,
    flags: OFlags,
) -> Result<File, FileError> {
    let wrong = |errno| FileError::io(path, errno);
    let kind = Kind::of(&fstat(found).map_err(wrong)?);
    if kind != Kind::File {
        return Err(FileError::NotRegular { path: path.to_owned(), kind });
    }
    let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(itself, flags, Mode::empty()).map_err(wrong)?.into())
}

/// A file that is read by lines.
#[derive(Debug)]
pub(in crate::script) struct Lines {
    path: PathBuf,
    /// None at its end.
    file: Option<File>,
    bytes: Vec<u8>,
    /// Where the next line begins.
    from: usize,
    /// Up to where there is no line end.
    searched: usize,
}

impl Lines {
    /// Returns the next line that has been read already, without its end.
    pub(in crate::script) fn ready(&mut self) -> Option<Vec<u8>> {
        let end = match memchr::memchr(b'\n', &self.bytes[self.searched..]) {
            Some(at) => self.searched + at,
            None => {
                self.searched = self.bytes.len();
                return None;
            }
        };
        let line = without_return(&self.bytes[self.from..end]).to_vec();
        self.from = end + 1;
        self.searched = self.from;
        Some(line)
    }

    /// Returns the next line, reading on for it; `None` at the end.
    pub(in crate::script) fn next(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        loop {
            if let Some(line) = self.ready() {
                return Ok(Some(line));
            }
            let Some(file) = &mut self.file else { return Ok(None) };
            self.bytes.drain(..self.from);
            (self.from, self.searched) = (0, self.bytes.len());
            if self.bytes.len() > LONGEST_LINE {
                let (path, limit) = (self.path.clone(), "the longest line");
                return Err(FileError::TooLong { path, max: LONGEST_LINE, limit });
            }
            let mut chunk = file.take(CHUNK as u64);
            let read = chunk.read_to_end(&mut self.bytes);
            if read.map_err(|error| FileError::io(&self.path, error))? == 0 {
                self.file = None;
                // The last line need not have an end.
                let rest = std::mem::take(&mut self.bytes);
                (self.from, self.searched) = (0, 0);
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// Returns whether all of it has been read.
    pub(in crate::script) fn is_ended(&self) -> bool {
        self.file.is_none()
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

const CHUNK: usize = 64 * 1024;
const LONGEST_LINE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Vec<u8>>, FileError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, text).expect("written");
        let mut lines = Roots::new(vec![folder.path().to_owned()]).lines(&path)?;
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.push(line);
        }
        assert!(lines.is_ended());
        Ok(all)
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        assert_eq!(all(b"").expect("read"), Vec::<Vec<u8>>::new());
        assert_eq!(all(b"\n\r\n").expect("read"), [b"".to_vec(), b"".to_vec()]);
        let text = all(b"a\r\nb\n\nc\rd\n\xff").expect("read");
        assert_eq!(text, [&b"a"[..], b"b", b"", b"c\rd", b"\xff"].map(<[u8]>::to_vec));
        // Longer than a chunk, so that lines lie across the seams.
        let long: Vec<Vec<u8>> = (0..5000).map(|n| format!("{n:0>97}").into_bytes()).collect();
        assert_eq!(all(&long.join(&b'\n')).expect("read"), long);
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let error = all(&vec![b'x'; LONGEST_LINE + 2 * CHUNK]).expect_err("too long");
        assert_eq!(error.code(), "limit");
        assert!(error.to_string().ends_with("is longer than 1048576 bytes (the longest line)"));
        assert_eq!(all(&vec![b'x'; LONGEST_LINE]).expect("read").len(), 1);
    }
}
