//! Names from outside, as principals.
//!
//! Names are compared byte by byte: no case is folded, and nothing is normalised, so that no two names of an issuer
//! become one here. What does not show when it is read is refused, as it would pass for another name.

use crate::approval::Principal;

/// The most groups that a caller may have.
pub(super) const MAX_GROUPS: usize = 200;

/// Beginnings of principals. A name with one would read as somebody else's.
const KINDS: [&str; 4] = ["user:", "group:", "service:", "system:"];

/// The principal of a name that stands for one of a kind ("user", "group", "service").
pub(crate) fn principal(kind: &str, name: &str) -> Result<Principal, String> {
    if KINDS.iter().any(|kind| name.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))) {
        return Err("a name may not begin like a principal".to_owned());
    }
    if name.trim() != name {
        return Err("a name may not begin or end with white space".to_owned());
    }
    if name.chars().any(is_invisible) {
        return Err("a name may not hold characters that do not show".to_owned());
    }
    format!("{kind}:{name}").parse().map_err(|error: crate::approval::NotAPrincipal| error.to_string())
}

/// Marks of direction, joiners and the like, which do not show but make another name.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_somebody_else() {
        for name in
            ["system:expiry", "service:bot", "Group:finance", "user:ana", "", " ana", "a\nb", "a\u{202e}b", "a\u{200b}"]
        {
            assert!(principal("user", name).is_err(), "{name:?}");
        }
        assert_eq!(principal("group", "CN=Finance,OU=x:y").unwrap().as_str(), "group:CN=Finance,OU=x:y");
        assert_eq!(principal("user", "josé").unwrap().as_str(), "user:josé");
        assert_ne!(principal("user", "jose\u{301}").unwrap(), principal("user", "josé").unwrap());
    }
}
