//! How names and numbers are shown. Names come from others, so nothing in them may move the cursor or turn the line around.

use super::review::grouped;

/// Characters that are not seen, or that change how others are seen.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text of others as it can be shown: hidden characters are written out.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_hidden(character) {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    shown
}

/// `1 key`, `2 keys`.
pub fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_move_nothing() {
        assert_eq!(plain("Ada Lovelace, ü 鍵"), "Ada Lovelace, ü 鍵");
        assert_eq!(plain("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(plain("gpj\u{202e}.exe"), "gpj\\u{202e}.exe");
    }

    #[test]
    fn numbers_are_read_easily() {
        assert_eq!((count(1, "key"), count(1200, "key")), ("1 key".to_owned(), "1,200 keys".to_owned()));
    }
}
