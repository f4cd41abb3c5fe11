//! Texts from outside that are looked for and never read back. PostgreSQL has no place for the character U+0000 in a
//! text: it is written as another one, so that different texts stay different.

use std::borrow::Cow;

/// The character that tells that the next one stands for another.
const ESCAPE: char = '\u{1}';

/// A text as it is kept.
pub(in crate::store) fn kept(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => written.extend([ESCAPE, '0']),
            ESCAPE => written.extend([ESCAPE, '1']),
            other => written.push(other),
        }
    }
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_zero_has_another_place() {
        assert_eq!(kept("Größe"), "Größe");
        assert_eq!(kept("a\0b\u{1}"), "a\u{1}0b\u{1}1");
    }

    proptest! {
        #[test]
        fn different_texts_stay_different(one in "[\0\u{1}01a]{0,5}", other in "[\0\u{1}01a]{0,5}") {
            prop_assert!(!kept(&one).contains('\0'));
            prop_assert_eq!(kept(&one) == kept(&other), one == other);
        }
    }
}
