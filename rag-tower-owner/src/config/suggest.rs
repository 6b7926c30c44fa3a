//! A misspelt name in, the name that was probably meant out.

/// The candidate nearest to `name`, when it is near enough to be a slip of the hand.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_ascii_uppercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance of Levenshtein over bytes: names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.bytes().enumerate() {
            let left = row.get(j).copied().unwrap_or(0);
            if let Some(cell) = row.get_mut(j + 1) {
                let replaced = diagonal + usize::from(x != y);
                diagonal = *cell;
                *cell = replaced.min(diagonal + 1).min(left + 1);
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_does_not() {
        let names = ["RAG_TOWER_ADDR", "RAG_TOWER_DATA", "TOP_K"];
        assert_eq!(nearest("RAG_TOWER_ADR", names), Some("RAG_TOWER_ADDR"));
        assert_eq!(nearest("rag_tower_dta", names), Some("RAG_TOWER_DATA"));
        assert_eq!(nearest("SOMETHING_ELSE", names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
