//! A Maildir in which something happens: mails come, are read, and go.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The mailbox of the demonstration.
#[derive(Debug)]
pub(super) struct Mailbox {
    path: PathBuf,
    /// Steps taken so far.
    steps: usize,
    delivered: usize,
}

/// One step of the story.
#[derive(Debug, Clone, Copy)]
enum Step {
    Deliver,
    Read,
    Clear,
}

impl Mailbox {
    /// Makes an empty Maildir.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        for part in ["new", "cur", "tmp"] {
            fs::create_dir_all(path.join(part))?;
        }
        Ok(Self { path: path.to_owned(), steps: 0, delivered: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the next thing happen.
    pub(super) fn step(&mut self) -> io::Result<()> {
        let step = STORY[self.steps % STORY.len()];
        self.steps += 1;
        match step {
            Step::Deliver => self.deliver(),
            Step::Read => self.read(),
            Step::Clear => self.clear(),
        }
    }

    /// Writes to `tmp` and moves to `new`, as every delivery does.
    fn deliver(&mut self) -> io::Result<()> {
        self.delivered += 1;
        let name = format!("{}.demo", self.delivered);
        let draft = self.path.join("tmp").join(&name);
        fs::write(&draft, "Subject: a demonstration\r\n\r\nNothing to read here.\r\n")?;
        fs::rename(draft, self.path.join("new").join(name))
    }

    /// Moves one mail from `new` to `cur`, seen, as a mail program does.
    fn read(&self) -> io::Result<()> {
        let Some(mail) = fs::read_dir(self.path.join("new"))?.next() else { return Ok(()) };
        let mail = mail?;
        let name = format!("{}:2,S", mail.file_name().to_string_lossy());
        fs::rename(mail.path(), self.path.join("cur").join(name))
    }

    fn clear(&self) -> io::Result<()> {
        for part in ["new", "cur"] {
            for mail in fs::read_dir(self.path.join(part))? {
                fs::remove_file(mail?.path())?;
            }
        }
        Ok(())
    }
}

const STORY: [Step; 7] =
    [Step::Deliver, Step::Deliver, Step::Read, Step::Deliver, Step::Read, Step::Read, Step::Clear];
