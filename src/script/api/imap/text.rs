//! Texts as IMAP writes them: quoted strings, names of mailboxes, base64.

/// Returns a text as a quoted string (3501 §4.3); line ends were refused before.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

/// Returns the name of a mailbox in its modified UTF-7 (3501 §5.1.3).
pub(super) fn mailbox_name(name: &str) -> String {
    let mut out = String::new();
    let mut foreign: Vec<u8> = Vec::new();
    for character in name.chars() {
        if !matches!(character, ' '..='~') {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units);
            foreign.extend(units.iter().flat_map(|unit| unit.to_be_bytes()));
            continue;
        }
        end_foreign(&mut out, &mut foreign);
        match character {
            '&' => out.push_str("&-"),
            other => out.push(other),
        }
    }
    end_foreign(&mut out, &mut foreign);
    out
}

fn end_foreign(out: &mut String, foreign: &mut Vec<u8>) {
    if !foreign.is_empty() {
        let text = base64(foreign).replace('/', ",");
        out.push('&');
        out.push_str(text.trim_end_matches('='));
        out.push('-');
        foreign.clear();
    }
}

/// Returns bytes as base64 (4648 §4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Returns what a server says as a message shows it: one line, and not too long.
pub(super) fn told(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(200).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_named_as_the_rfc_names_them() {
        for (name, written) in [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A&B", "A&-B"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("☺!", "&Jjo-!"),
        ] {
            assert_eq!(mailbox_name(name), written);
        }
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn quotes_are_escaped() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
