//! Sizes as users write them: bytes, or text such as `256KiB`, `32MiB`.

/// Reads a size given as text: a whole number of bytes, or one with a unit.
///
/// # Errors
/// With the text and what would be right; nothing at all is no size.
pub fn parse_size(text: &str) -> Result<usize, SizeError> {
    let refused = || SizeError(format!("{text:?}"));
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let number: usize = trimmed[..digits].parse().map_err(|_| refused())?;
    let unit = trimmed[digits..].trim();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    number.checked_mul(*factor).filter(|size| *size > 0).ok_or_else(refused)
}

/// What is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a size (bytes, or text such as \"256KiB\", \"32MiB\")")]
pub struct SizeError(pub String);

const UNITS: &[(&str, usize)] = &[
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1024),
    ("MiB", 1024 * 1024),
    ("GiB", 1024 * 1024 * 1024),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size(" 32 MiB "), Ok(32 << 20));
        assert_eq!(parse_size("5kB"), Ok(5000));
        for text in ["", "0", "-1", "1.5MiB", "1mib", "99999999999999999999", "99999999999GiB"] {
            let refused = parse_size(text).expect_err(text);
            assert!(refused.to_string().starts_with(&format!("{text:?} is not a size")));
        }
    }
}
