//! A text in, pieces of about one size out.

use crate::text::sentences;

/// Cuts texts into pieces that fit a search result and a prompt.
///
/// Sizes are tokens, estimated as a quarter of the characters, rounded up. A piece ends at a paragraph's end where one
/// is near, else at a sentence's, and only inside a sentence that is itself longer than a piece. A Markdown heading
/// begins a new piece once the piece before it is at least half full. Each piece is headed by the headings above its
/// beginning, on one line (`# Courses › IELTS`), so that it can be found and understood alone; and when a piece
/// continues a section, it repeats the last sentences of the one before, as much as fits the overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunker {
    size: usize,
    overlap: usize,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its text, headings first.
    pub text: String,
}

/// A paragraph, list, table, or heading.
struct Block<'t> {
    text: &'t str,
    /// The heading's level; 0 for anything else.
    level: usize,
}

/// A piece while it is being filled.
#[derive(Default)]
struct Open {
    head: String,
    body: String,
    fresh: bool,
}

// === impl Chunker ===

impl Chunker {
    /// Pieces of 400 tokens that overlap by 40.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 400, overlap: 40 }
    }

    /// Sets the size in tokens, at least 16. Default: 400.
    #[must_use]
    pub const fn with_size(mut self, tokens: usize) -> Self {
        self.size = if tokens < 16 { 16 } else { tokens };
        self
    }

    /// Sets the overlap in tokens; more than half the size counts as half. Default: 40.
    #[must_use]
    pub const fn with_overlap(mut self, tokens: usize) -> Self {
        self.overlap = tokens;
        self
    }

    /// The pieces of a Markdown or plain text, in order. A text without a letter or digit has none.
    #[must_use]
    pub fn pieces(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut path: Vec<(usize, &str)> = Vec::new();
        let mut open = Open { fresh: true, ..Open::default() };
        for block in blocks(text) {
            if block.level > 0 {
                if chars(&open.body) * 2 >= self.chars() {
                    self.close(&mut open, &mut pieces, &path, false);
                }
                path.retain(|(level, _)| *level < block.level);
                if open.body.is_empty() {
                    open.head = heading(&path);
                }
                path.push((block.level, block.text.trim_start_matches('#').trim()));
            }
            self.add(block.text, "\n\n", &mut open, &mut pieces, &path);
        }
        self.close(&mut open, &mut pieces, &path, false);
        pieces
    }

    /// Adds a text to the open piece, or cuts it where it does not fit.
    fn add(&self, text: &str, gap: &str, open: &mut Open, pieces: &mut Vec<Piece>, path: &[(usize, &str)]) {
        if chars(text) + chars(&open.body) + chars(&open.head) <= self.chars() {
            open.push(text, gap);
            return;
        }
        if !open.fresh && chars(text) + chars(&open.head) <= self.chars() {
            self.close(open, pieces, path, true);
            if chars(text) + chars(&open.body) + chars(&open.head) > self.chars() {
                open.body.clear();
            }
            open.push(text, gap);
            return;
        }
        let parts = sentences(text);
        if parts.len() > 1 {
            for part in parts {
                self.add(
                    part,
                    if part.starts_with(['-', '*', '|', '#']) { "\n" } else { " " },
                    open,
                    pieces,
                    path,
                );
            }
            return;
        }
        // One sentence longer than a piece: cut at spaces, and inside a word only where there is none.
        let room = self.chars().saturating_sub(chars(&open.head)).max(self.chars() / 2);
        let mut rest = text;
        while chars(rest) > room {
            let limit = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
            let cut = rest[..limit].rfind(char::is_whitespace).filter(|at| *at > limit / 2).unwrap_or(limit);
            if !open.fresh {
                self.close(open, pieces, path, false);
            }
            open.push(rest[..cut].trim(), gap);
            self.close(open, pieces, path, false);
            rest = rest[cut..].trim_start();
        }
        if !open.fresh {
            self.close(open, pieces, path, false);
        }
        if !rest.is_empty() {
            open.push(rest, gap);
        }
    }

    /// Ends the open piece and opens the next, with the end of this one in front when it `continues`.
    fn close(&self, open: &mut Open, pieces: &mut Vec<Piece>, path: &[(usize, &str)], continues: bool) {
        let tail = if continues { self.tail(&open.body) } else { String::new() };
        let done = std::mem::take(open);
        if !done.fresh && done.body.chars().any(char::is_alphanumeric) {
            let mut text = done.head;
            text.push_str(&done.body);
            pieces.push(Piece { text });
        }
        *open = Open { head: heading(path), body: tail, fresh: true };
    }

    /// The last sentences that fit the overlap.
    fn tail(&self, body: &str) -> String {
        let room = self.overlap.min(self.size / 2) * 4;
        let mut kept = Vec::new();
        let mut used = 0;
        for sentence in sentences(body).into_iter().rev() {
            used += chars(sentence) + 1;
            if used > room || sentence.starts_with('#') {
                break;
            }
            kept.push(sentence);
        }
        kept.reverse();
        kept.join(" ")
    }

    const fn chars(&self) -> usize {
        self.size * 4
    }
}

impl Default for Chunker {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Open ===

impl Open {
    fn push(&mut self, text: &str, gap: &str) {
        if !self.body.is_empty() {
            self.body.push_str(gap);
        }
        self.body.push_str(text);
        self.fresh = false;
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

fn heading(path: &[(usize, &str)]) -> String {
    if path.is_empty() {
        return String::new();
    }
    let titles: Vec<&str> = path.iter().map(|(_, title)| *title).collect();
    // A heading is no place for a text: cut one that goes on.
    let line: String = titles.join(" › ").chars().take(200).collect();
    format!("# {line}\n\n")
}

/// Paragraphs and headings; a code fence is one block.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut fenced = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (from, end) = (at, at + line.len());
        at = end;
        let shown = line.trim();
        let fence = shown.starts_with("```") || shown.starts_with("~~~");
        let level = if fenced || fence { 0 } else { level(shown) };
        if !fenced && (shown.is_empty() || level > 0) {
            found.extend(block(text, start.take(), from));
        }
        if level > 0 {
            found.push(Block { text: shown, level });
        } else if start.is_none() && !shown.is_empty() {
            start = Some(from);
        }
        fenced ^= fence;
    }
    found.extend(block(text, start, at));
    found
}

fn block(text: &str, start: Option<usize>, end: usize) -> Option<Block<'_>> {
    let text = text.get(start?..end)?.trim();
    (!text.is_empty()).then_some(Block { text, level: 0 })
}

fn level(line: &str) -> usize {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    if (1..=6).contains(&level) && line[level..].starts_with(' ') { level } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(chunker: Chunker, text: &str) -> Vec<String> {
        chunker.pieces(text).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn a_short_text_is_one_piece() {
        assert_eq!(texts(Chunker::new(), "# A\n\nOne.\n\n## B\n\nTwo.\n"), ["# A\n\nOne.\n\n## B\n\nTwo."]);
        assert!(texts(Chunker::new(), " \n --- \n").is_empty());
    }

    #[test]
    fn sections_begin_pieces_and_carry_their_headings() {
        let long = "A sentence of about forty characters ok. ".repeat(3);
        let text = format!("# Courses\n\n{long}\n\n## IELTS\n\n{long}\n\n## TOEIC\n\n{long}");
        let pieces = texts(Chunker::new().with_size(50).with_overlap(0), &text);
        assert_eq!(pieces.len(), 3, "{pieces:#?}");
        assert!(pieces[0].starts_with("# Courses\n\nA sentence"), "{pieces:#?}");
        assert!(pieces[1].starts_with("# Courses\n\n## IELTS\n\n"), "{pieces:#?}");
        assert!(pieces[2].starts_with("# Courses\n\n## TOEIC\n\n"), "{pieces:#?}");
    }

    #[test]
    fn a_continued_section_repeats_the_last_sentence() {
        let text: String = (0..12).map(|n| format!("Sentence number {n} is here. ")).collect();
        let pieces = texts(Chunker::new().with_size(40).with_overlap(10), &text);
        assert!(pieces.len() > 2);
        for pair in pieces.windows(2) {
            let last = sentences(&pair[0]).last().map(ToString::to_string).unwrap();
            assert!(pair[1].starts_with(&last), "{pair:#?}");
        }
    }

    #[test]
    fn what_looks_like_a_heading_in_code_is_code() {
        let pieces = texts(Chunker::new(), "```\n# not a heading\n\nx\n```\n\nText.");
        assert_eq!(pieces, ["```\n# not a heading\n\nx\n```\n\nText."]);
    }

    proptest! {
        #[test]
        fn no_piece_is_too_long_and_no_word_is_lost(
            words in proptest::collection::vec("[a-zộ中]{1,12}", 0..200),
            breaks in proptest::collection::vec(0_usize..5, 200),
            size in 16_usize..60,
        ) {
            let gaps = [" ", " ", ". ", "\n\n", "\n\n## "];
            let text: String = words.iter().zip(&breaks).flat_map(|(word, gap)| [word.as_str(), gaps[*gap]]).collect();
            let chunker = Chunker::new().with_size(size).with_overlap(8);
            let pieces = texts(chunker, &text);
            let all = pieces.concat();
            for word in &words {
                prop_assert!(all.contains(word.as_str()), "{word} is lost");
            }
            for piece in &pieces {
                prop_assert!(chars(piece) <= size * 4 + 202, "{}", chars(piece));
            }
        }
    }
}
