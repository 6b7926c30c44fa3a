//! Figures of measurements: quantiles, medians of rounds, and tables in Markdown.

use std::fmt::Write as _;

/// The `p`-quantile (0 to 1) of what is sorted already: an element, never something between two. None of nothing.
#[must_use]
pub fn quantile<T: Copy>(sorted: &[T], p: f64) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * p.clamp(0.0, 1.0)) as usize).copied()
}

/// The median: the mean of the two in the middle where there is no middle, NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The least and the greatest, NaN of nothing.
#[must_use]
pub fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::NAN, f64::min);
    (least, values.iter().copied().fold(f64::NAN, f64::max))
}

/// What each round of the second has more than the same round of the first; rounds that only one has are left out.
#[must_use]
pub fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    first.iter().zip(second).map(|(a, b)| b - a).collect()
}

/// The median of the last third in terms of that of the first: 1 when nothing has changed. Thirds of few values share those in
/// the middle; NaN of nothing.
#[must_use]
pub fn last_to_first(values: &[f64]) -> f64 {
    let third = values.len().div_ceil(3);
    median(&values[values.len() - third..]) / median(&values[..third])
}

/// A number with three significant digits, or a dash when there is none.
#[must_use]
pub fn short(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        size if size >= 1000.0 => thousands(value.round()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A table in Markdown. A row with fewer cells than the head is filled up; a bar in a cell is escaped.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = line(head.iter().map(|cell| (*cell).to_owned()), head.len());
    let _ = writeln!(out, "|{}", "---|".repeat(head.len()));
    for row in rows {
        out.push_str(&line(row.iter().cloned(), head.len()));
    }
    out
}

fn line(cells: impl Iterator<Item = String>, columns: usize) -> String {
    let mut out = String::from("|");
    for cell in cells.chain(std::iter::repeat(String::new())).take(columns) {
        let _ = write!(out, " {} |", cell.replace('|', "\\|"));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_an_element_and_nothing_has_none() {
        let hundred: Vec<u32> = (1..=101).collect();
        assert_eq!(quantile(&hundred, 0.5), Some(51));
        assert_eq!(quantile(&hundred, 0.99), Some(100));
        assert_eq!(quantile(&hundred, 1.0), Some(101));
        assert_eq!(quantile(&hundred, 7.0), Some(101));
        assert_eq!(quantile(&[4], 0.99), Some(4));
        assert_eq!(quantile::<u32>(&[], 0.5), None);
    }

    #[test]
    fn a_median_does_not_depend_on_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(range(&[3.0, -1.0, 2.0]), (-1.0, 3.0));
        assert!(range(&[]).0.is_nan());
    }

    #[test]
    fn rounds_are_compared_with_their_own_twin() {
        assert_eq!(differences(&[1.0, 10.0, 5.0], &[1.5, 9.0]), [0.5, -1.0]);
    }

    #[test]
    fn the_end_is_compared_with_the_beginning() {
        assert_eq!(last_to_first(&[2.0, 2.0, 100.0, 9.0, 9.0, 3.0, 3.0]), 1.5);
        assert_eq!(last_to_first(&[2.0, 900.0, 2.0, 7.0, 4.0, 900.0, 4.0, 4.0, 4.0]), 2.0);
        assert_eq!(last_to_first(&[5.0]), 1.0);
        assert!(last_to_first(&[]).is_nan());
    }

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.1234, 1.234, 12.34, 123.4, 1234.4, 1_234_567.0, -1234.0, 999.96, f64::NAN].map(short);
        let expected =
            ["0.123", "1.23", "12.3", "123", "1,234", "1,234,567", "-1,234", "1000", "–"].map(str::to_owned);
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_table_has_as_many_cells_in_each_row() {
        let rows = [vec!["a|b".to_owned(), "1".to_owned()], vec!["c".to_owned()]];
        assert_eq!(table(&["", "n"], &rows), "|  | n |\n|---|---|\n| a\\|b | 1 |\n| c |  |\n");
    }
}
