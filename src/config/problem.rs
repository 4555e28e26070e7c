//! What is wrong with a configuration, in the shape of a compiler's message.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One mistake: `puad.toml:7: [sip]: unknown key 'outbond_proxy' (did you mean 'outbound_proxy'?)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file that holds it, as it was named.
    pub file: PathBuf,
    /// The line, where it is known.
    pub line: Option<usize>,
    /// Section, key, value and remedy.
    pub message: String,
}

impl Problem {
    /// Returns a problem of a whole file.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Everything that was found wrong, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let line_end = if number > 0 { "\n" } else { "" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
