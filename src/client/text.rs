//! Text from elsewhere on a terminal, and lines that are offered for copying.

use std::fmt::Write as _;

/// A word of a command line, as a shell takes it: it can be pasted whatever is in it, and shows nothing that a terminal would
/// act on.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().all(|c| !escapes(c)) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut octal = String::new();
    for byte in word.bytes() {
        match byte {
            b'\'' | b'\\' | 0..=31 | 127.. => _ = write!(octal, "\\0{byte:03o}"),
            _ => octal.push(char::from(byte)),
        }
    }
    format!("\"$(printf %b '{octal}')\"")
}

/// A text from elsewhere, as it may be shown to people: what a terminal would act on is spelled out, and so is what would turn
/// the direction of the line or hide in it.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if escapes(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// Control characters of both sets; marks of direction; separators of lines; what has no width.
fn escapes(c: char) -> bool {
    let unseen = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    c.is_control()
        || unseen.contains(&c)
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_from_elsewhere_reaches_a_terminal_as_it_is() {
        let evil = "x\u{1b}[2K\r\n\u{9b}31m\u{202e}\u{2066}\u{200f}\u{2028}\u{7f}\u{feff}";
        let shown = shown(evil);
        assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown}");
        assert!(shown.starts_with(r"x\u{1b}[2K\u{d}\u{a}"), "{shown}");
        assert_eq!(super::shown("für Grüße: 日本 (ok)"), "für Grüße: 日本 (ok)");
    }

    #[test]
    fn every_word_comes_back_from_a_shell_as_it_was() {
        for word in
            ["plain", "", "a b", "it's", "$HOME", "a\u{1b}[31mb", "\\%d'\u{202e}", "ö ä", "-n", "a\nb", "`x`", "~"]
        {
            let script = format!("set -- {}; printf '%s %s' $# \"$1\"", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("1 {word}"), "{script}");
            assert!(quoted(word).chars().all(|c| !escapes(c)), "{script:?}");
        }
        assert_eq!(quoted("/var/lib/gateway"), "/var/lib/gateway", "what a shell takes as it is stays as it is");
    }
}
