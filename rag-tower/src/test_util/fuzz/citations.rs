//! A model's text, in any pieces.

use super::{Broken, hold};
use crate::answer::CitationFilter;

/// Where a citation begins and ends, to a reader.
const OPEN: [char; 3] = ['[', '［', '【'];
const CLOSE: [char; 3] = [']', '］', '】'];

/// Checks [`CitationFilter`]: the first byte says how many passages were given, the rest is the text.
///
/// However the text is cut, the same comes out; what is left outside of code cites no other passage than those given;
/// text without a mark is left as it is.
///
/// # Errors
/// The property that does not hold.
pub fn citations(data: &[u8]) -> Result<(), Broken> {
    let Some((first, text)) = data.split_first() else { return Ok(()) };
    let passages = usize::from(first & 0x0f);
    let text = String::from_utf8_lossy(text);
    let chars: Vec<char> = text.chars().collect();
    let whole = filtered(passages, &chars, chars.len().max(1));
    for piece in [1, 2, 3, 7] {
        let pieces = filtered(passages, &chars, piece);
        hold(pieces == whole, || format!("in pieces of {piece}: {pieces:?}, whole: {whole:?}"))?;
    }
    let (said, ..) = &whole;
    if !text.contains('`') {
        let foreign = cited(said).find(|n| !n.is_some_and(|n| (1..=passages).contains(&n)));
        hold(foreign.is_none(), || format!("{said:?} cites {foreign:?} of {passages}"))?;
    }
    let marked = text.contains(OPEN) || text.contains('`');
    hold(marked || *said == text, || format!("without a mark it became {said:?}"))
}

/// The text that comes out, and how many citations were kept and removed.
fn filtered(passages: usize, text: &[char], piece: usize) -> (String, u64, u64) {
    let mut filter = CitationFilter::new(passages);
    let mut said = String::new();
    for piece in text.chunks(piece) {
        said += filter.push(&piece.iter().collect::<String>());
    }
    said += filter.finish();
    (said, filter.kept(), filter.removed())
}

/// Every bracketed ASCII number; none for one beyond any count.
fn cited(text: &str) -> impl Iterator<Item = Option<usize>> {
    text.match_indices(OPEN)
        .filter_map(|(at, open)| text[at + open.len()..].split_once(CLOSE))
        .filter(|(inside, _)| !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|(inside, _)| inside.parse().ok())
}
