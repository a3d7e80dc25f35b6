//! Patterns of paths in delegations.

/// A pattern such as `dist/*/app-?.tar.gz` (TUF §4.5).
///
/// It matches segment by segment, so a path needs as many segments as the pattern: `*` matches any characters, `?` one,
/// `[a-z]` one of these and `[!a-z]` one other, never a `/`. Upper and lower case differ. This is what python-tuf does,
/// with `fnmatch` for each segment; there is no escaping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    AnyText,
    AnyOne,
    One(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::AnyText => false,
            Token::AnyOne => true,
            Token::One(expected) => *expected == c,
            Token::Set { negated, ranges } => ranges.iter().any(|(a, b)| (a..=b).contains(&&c)) != *negated,
        }
    }
}

impl PathPattern {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), segments: text.split('/').map(tokens).collect() }
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches a path.
    pub fn matches(&self, path: &str) -> bool {
        let segments: Vec<_> = path.split('/').collect();
        segments.len() == self.segments.len() && self.segments.iter().zip(segments).all(|(p, s)| matches(p, s))
    }
}

/// Matches one segment. Only the last `*` is ever tried again, so the cost is at most length × length.
fn matches(pattern: &[Token], segment: &str) -> bool {
    let text: Vec<char> = segment.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::AnyText) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(token) if token.takes(text[t]) => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|token| *token == Token::AnyText)
}

fn tokens(segment: &str) -> Vec<Token> {
    let chars: Vec<char> = segment.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while let Some(&c) = chars.get(i) {
        i += 1;
        tokens.push(match c {
            '*' => Token::AnyText,
            '?' => Token::AnyOne,
            '[' => match set(&chars[i..]) {
                Some((set, length)) => {
                    i += length;
                    set
                }
                None => Token::One('['),
            },
            c => Token::One(c),
        });
    }
    tokens
}

/// The set after a `[`, and its length with the closing `]`. Without one the `[` stands for itself. A `]` that comes
/// first is in the set, and so is a `-` that is first or last; a range whose end comes before its start is empty.
fn set(chars: &[char]) -> Option<(Token, usize)> {
    let negated = chars.first() == Some(&'!');
    let start = usize::from(negated);
    let end = start + 1 + chars.get(start + 1..)?.iter().position(|&c| c == ']')?;
    let mut ranges = Vec::new();
    let mut rest = &chars[start..end];
    while let Some(&first) = rest.first() {
        if let [a, '-', b, ..] = *rest {
            ranges.extend((a <= b).then_some((a, b)));
            rest = &rest[3..];
        } else {
            ranges.push((first, first));
            rest = &rest[1..];
        }
    }
    Some((Token::Set { negated, ranges }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, path, and what python-tuf says of them.
    const RECORDED: &str = include_str!("../../tests/fixtures/patterns.json");

    #[test]
    fn patterns_match_as_in_python_tuf() {
        let cases: Vec<(String, String, bool)> = serde_json::from_str(RECORDED).expect("json");
        assert!(cases.iter().filter(|case| case.2).count() > 20);
        for (pattern, path, expected) in cases {
            assert_eq!(PathPattern::new(&pattern).matches(&path), expected, "{pattern:?} {path:?}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = PathPattern::new(&"*a".repeat(500));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(4000))));
    }
}
