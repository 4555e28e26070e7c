//! "Did you mean …?": the known name that a mistyped one is closest to.

/// Returns the candidate that `name` was probably meant to be, if one is near enough.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of the lengths; no known name is nearly as long.
    if name.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        // A third of the letters may be wrong; beyond that a guess misleads.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .map(|(_, candidate)| candidate)
}

const LONGEST: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["expires", "event", "id"];
        assert_eq!(closest("expire", known), Some("expires"));
        assert_eq!(closest("evnet", known), Some("event"));
        assert_eq!(closest("colour", known), None);
        assert_eq!(closest("x", known), None);
        assert_eq!(closest(&"expires".repeat(1 << 20), known), None);
    }
}
