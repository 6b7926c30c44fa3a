//! A file in, titled texts out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Stage};

/// The largest file that is read: 25 MiB.
pub const MAX_FILE_BYTES: usize = 25 * 1024 * 1024;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Markdown.
    Markdown,
    /// Plain text.
    Text,
    /// HTML; needs the feature `ingest`.
    Html,
    /// One JSON object a line: `text`, and optionally `id`, `title`, and `labels` (an object of strings).
    JsonLines,
}

/// A text of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Its own name inside the file, for files that hold several texts.
    pub name: Option<String>,
    /// Its title, when it says one.
    pub title: Option<String>,
    /// The text: Markdown, or plain.
    pub text: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    title: Option<String>,
    text: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

// === impl Format ===

impl Format {
    /// The format that a file's name promises; none for an unknown extension.
    #[must_use]
    pub fn of(file_name: &str) -> Option<Self> {
        let (_, extension) = file_name.rsplit_once('.')?;
        Some(match extension.to_ascii_lowercase().as_str() {
            "md" | "markdown" => Self::Markdown,
            "txt" | "text" => Self::Text,
            "html" | "htm" | "xhtml" => Self::Html,
            "jsonl" | "ndjson" => Self::JsonLines,
            _ => return None,
        })
    }
}

/// Reads a file.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput), saying what is wrong and where: larger than [`MAX_FILE_BYTES`], not
/// UTF-8, a line that is not JSON of the shape above, HTML without the feature for it, or no text at all.
pub fn extract(format: Format, bytes: &[u8]) -> Result<Vec<Extracted>, Error> {
    if bytes.len() > MAX_FILE_BYTES {
        let most = MAX_FILE_BYTES / (1024 * 1024);
        return Err(invalid(format!(
            "the file has {} bytes; at most {most} MiB are read: split it",
            bytes.len()
        )));
    }
    let text =
        std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map_err(|error| {
            invalid(format!(
                "byte {} of the file is not UTF-8: convert the file to UTF-8",
                error.valid_up_to()
            ))
        })?;
    let found = match format {
        Format::Markdown => vec![markdown(text)],
        Format::Text => vec![Extracted { text: text.to_owned(), ..Extracted::default() }],
        Format::Html => vec![html(text)?],
        Format::JsonLines => json_lines(text)?,
    };
    if found.iter().all(|found| !found.text.chars().any(char::is_alphanumeric)) {
        return Err(invalid("the file holds no text"));
    }
    Ok(found)
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid(Stage::Ingest, message)
}

fn markdown(text: &str) -> Extracted {
    let (front, body) = front_matter(text);
    let quoted = |title: &str| title.trim().trim_matches(['"', '\'']).to_owned();
    let title = front
        .lines()
        .find_map(|line| line.strip_prefix("title:").map(quoted))
        .filter(|title| !title.is_empty())
        .or_else(|| heading(body));
    Extracted { title, text: body.to_owned(), ..Extracted::default() }
}

/// What stands between two `---` lines at the very beginning, and the rest.
fn front_matter(text: &str) -> (&str, &str) {
    let rest = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n"));
    let split = rest.and_then(|rest| {
        let end = rest.find("\n---")?;
        let (front, after) = (rest.get(..end)?, rest.get(end + 4..)?);
        let line = after.find('\n')?;
        after.get(..line)?.trim().is_empty().then_some((front, after.get(line + 1..)?))
    });
    split.unwrap_or(("", text))
}

fn heading(text: &str) -> Option<String> {
    let title = text.lines().find_map(|line| line.trim_start().strip_prefix("# "))?.trim();
    (!title.is_empty()).then(|| title.to_owned())
}

fn json_lines(text: &str) -> Result<Vec<Extracted>, Error> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            let column = error.column();
            invalid(format!(
                "line {number} is not a JSON object with a string in \"text\" (column {column}); \
                 \"id\", \"title\" and \"labels\" (an object of strings) are optional"
            ))
        })?;
        let name = Some(line.id.unwrap_or_else(|| number.to_string()));
        found.push(Extracted { name, title: line.title, text: line.text, labels: line.labels });
    }
    Ok(found)
}

#[cfg(feature = "ingest")]
fn html(text: &str) -> Result<Extracted, Error> {
    let converter = htmd::HtmlToMarkdown::builder()
        .skip_tags(vec!["head", "script", "style", "noscript", "template", "nav", "footer", "svg", "iframe"])
        .build();
    let convert = |html: &str| {
        converter.convert(html).map_err(|error| invalid("the HTML could not be read").with_source(error))
    };
    let body = convert(text)?;
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let start = at + lower.get(at..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find("</title")?;
        text.get(start..end)
    });
    let title = match title {
        Some(title) => Some(convert(title)?.trim().to_owned()).filter(|title| !title.is_empty()),
        None => None,
    };
    Ok(Extracted { title: title.or_else(|| heading(&body)), text: body, ..Extracted::default() })
}

#[cfg(not(feature = "ingest"))]
fn html(_: &str) -> Result<Extracted, Error> {
    Err(invalid("this build cannot read HTML: turn on the feature \"ingest\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn one(format: Format, text: &str) -> Extracted {
        extract(format, text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn titles_come_from_where_a_format_keeps_them() {
        let title = |format, text| one(format, text).title;
        assert_eq!(title(Format::Markdown, "intro\n# The fees\n\ntext").as_deref(), Some("The fees"));
        assert_eq!(
            title(Format::Markdown, "---\ntitle: \"Front\"\n---\n# Other\n").as_deref(),
            Some("Front")
        );
        assert_eq!(title(Format::Text, "# no heading in plain text"), None);
        assert!(!one(Format::Markdown, "---\na: b\n---\nText").text.contains("a: b"));
    }

    #[test]
    fn json_lines_are_documents_of_their_own() {
        let text =
            "{\"text\":\"one\"}\n\n{\"id\":\"x\",\"title\":\"T\",\"text\":\"two\",\"labels\":{\"a\":\"b\"}}";
        let found = extract(Format::JsonLines, text.as_bytes()).unwrap();
        assert_eq!(found[0].name.as_deref(), Some("1"));
        assert_eq!((found[1].name.as_deref(), found[1].title.as_deref()), (Some("x"), Some("T")));
        assert_eq!(found[1].labels["a"], "b");
    }

    #[cfg(feature = "ingest")]
    #[test]
    fn html_keeps_headings_and_drops_what_is_not_text() {
        let found = one(
            Format::Html,
            "<html><head><TITLE>Fees &amp; terms</TITLE><style>x{}</style></head><body><nav>Menu</nav>\
             <h1>Fees</h1><script>alert(1)</script><p>IELTS costs <b>5</b>.</p></body></html>",
        );
        assert_eq!(found.title.as_deref(), Some("Fees & terms"));
        assert!(found.text.contains("# Fees") && found.text.contains("IELTS costs"), "{found:?}");
        assert!(!found.text.contains("alert") && !found.text.contains("Menu"), "{found:?}");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (format, bytes, says) in [
            (Format::Text, &b"ab\xff"[..], "byte 2"),
            (Format::JsonLines, b"{\"text\":\"a\"}\n{\"text\":1}", "line 2"),
            (Format::JsonLines, b"[]", "line 1"),
            (Format::Markdown, b" \n---\n", "no text"),
            (Format::Text, b"", "no text"),
        ] {
            let error = extract(format, bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(says), "{error}");
        }
        let large = extract(Format::Text, &vec![b'a'; MAX_FILE_BYTES + 1]).unwrap_err();
        assert!(large.to_string().contains("25 MiB"), "{large}");
        assert_eq!(Format::of("a.b/Fees.MD"), Some(Format::Markdown));
        assert_eq!((Format::of("exe"), Format::of("a.exe")), (None, None));
    }
}
