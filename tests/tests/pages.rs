//! The pages obey the policy they are served under, name only what exists, and speak each language.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../static")
}

/// The files of `static/` with an ending, by their path in it; the libraries of others in `vendor/` are theirs.
fn pages(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("static/ is there") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "vendor" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push((name, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} in static/");
    found
}

/// Everything between `before` and `after`, at each place where they stand.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after)).map(|(inside, _)| inside).collect()
}

/// The entries of a catalogue: key to the source text of its value.
fn catalogue(language: &str) -> BTreeMap<String, String> {
    let path = root().join("i18n").join(format!("{language}.js"));
    let text = fs::read_to_string(path).expect("a catalogue");
    let mut entries = BTreeMap::new();
    for line in text.lines() {
        let Some((key, value)) = line.strip_prefix("  ").and_then(|line| line.split_once(": ")) else {
            continue;
        };
        assert!(entries.insert(key.to_owned(), value.to_owned()).is_none(), "{language}.js has {key} twice");
    }
    entries
}

fn arguments(value: &str) -> BTreeSet<&str> {
    between(value, "{", '}')
        .into_iter()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect()
}

#[test]
fn markup_has_nothing_inline_and_nothing_from_elsewhere() {
    for (name, html) in pages("html") {
        assert!(!html.contains("<style"), "{name}: inline style sheet");
        for tag in between(&html, "<", '>') {
            assert!(!tag.contains(" style="), "{name}: style attribute in <{tag}>");
            assert!(
                !tag.contains("http:") && !tag.contains("https:"),
                "{name}: address elsewhere in <{tag}>"
            );
            for attribute in tag.split_whitespace().skip(1) {
                assert!(!attribute.starts_with("on"), "{name}: event attribute in <{tag}>");
            }
        }
        for script in html.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').expect("a closed tag");
            assert!(tag.contains("src="), "{name}: inline script");
            assert!(rest.starts_with("</script>"), "{name}: a script with a body");
        }
        for path in between(&html, "\"/static/", '"') {
            assert!(root().join(path).is_file(), "{name} names /static/{path}, which is not there");
        }
    }
}

#[test]
fn scripts_never_parse_text_as_markup_or_code() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "eval(",
        "new Function",
        "setAttribute(\"style\"",
        "javascript:",
    ];
    for (name, script) in pages("js") {
        for word in forbidden {
            assert!(!script.contains(word), "{name} uses {word}");
        }
        let folder = root().join(&name);
        let folder = folder.parent().expect("a folder");
        let imports = between(&script, " from \"", '"').into_iter().chain(between(&script, "import(\"", '"'));
        for path in imports {
            let file = folder.join(path).canonicalize();
            let inside = file.as_ref().is_ok_and(|file| {
                file.is_file() && file.starts_with(root().canonicalize().expect("static/ is there"))
            });
            assert!(
                path.starts_with('.') && inside,
                "{name} imports {path}: only modules of this folder work offline"
            );
        }
    }
    for (name, sheet) in pages("css") {
        assert!(!sheet.contains("url(") && !sheet.contains("@import"), "{name} loads something");
    }
}

#[test]
fn the_catalogues_have_the_same_entries_with_the_same_arguments() {
    let english = catalogue("en");
    assert!(english.len() > 100, "only {} entries were read", english.len());
    for language in ["vi", "fa"] {
        let other = catalogue(language);
        let (keys, theirs): (BTreeSet<_>, BTreeSet<_>) = (english.keys().collect(), other.keys().collect());
        let one_sided: Vec<_> = keys.symmetric_difference(&theirs).collect();
        assert!(one_sided.is_empty(), "in {language}.js or en.js alone: {one_sided:?}");
        for (key, value) in &english {
            assert_eq!(arguments(value), arguments(&other[key]), "arguments of {key} in {language}.js");
        }
    }
}

#[test]
fn every_key_that_is_named_exists() {
    let english = catalogue("en");
    let mut named = BTreeSet::new();
    for (_, html) in pages("html") {
        for slot in ["text", "label", "title", "hint"] {
            named.extend(between(&html, &format!("data-i18n-{slot}=\""), '"').into_iter().map(str::to_owned));
        }
    }
    for (_, script) in pages("js").into_iter().filter(|(name, _)| !name.starts_with("i18n/")) {
        for slot in ["i18n", "label", "tip", "hint", "key"] {
            for start in [format!("{slot}: \""), format!("{slot}: [\"")] {
                named.extend(between(&script, &start, '"').into_iter().map(str::to_owned));
            }
        }
        named.extend(between(&script, " t(\"", '"').into_iter().map(str::to_owned));
    }
    assert!(named.len() > 60, "only {} keys were found", named.len());
    let unknown: Vec<_> = named.iter().filter(|key| !english.contains_key(*key)).collect();
    assert!(unknown.is_empty(), "no such keys: {unknown:?}");
}
