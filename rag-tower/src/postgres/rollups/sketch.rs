//! Durations in, their quantiles within half a per cent out; two sketches add up to one as if it had seen both.
//!
//! A DDSketch (Masson, Rim and Lee, VLDB 2019) over microseconds: bin `i` counts the values in `(γ^(i-1), γ^i]`, so a value
//! is known by its bin to a relative error of [`ALPHA`]. Bins are whole counts: the order in which sketches are merged
//! changes nothing.
//!
//! # Bytes
//! A version byte (1), the number of zeros, then for each bin that counts something the distance from the bin before
//! (from -1 for the first) and its count, all as LEB128 varints. The form is this crate's own and kept in tables.

use std::fmt;

/// The largest relative error of a quantile.
const ALPHA: f64 = 0.005;
/// γ, the ratio of a bin's ends.
const GAMMA: f64 = (1.0 + ALPHA) / (1.0 - ALPHA);
/// ln γ, written out so that SQL can say the same.
const LN_GAMMA: f64 = 0.010_000_083_334_583_36;
/// The bin of the largest value there is.
const LAST: usize = 4_437;
const VERSION: u8 = 1;

/// How often which durations were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    zeros: u64,
    /// The bin of `bins[0]`. Neither the first nor the last of `bins` is 0.
    low: usize,
    bins: Vec<u64>,
}

/// Bytes that are not a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SketchError {
    /// Another version wrote them; the byte is the version.
    Version(u8),
    /// They end in the middle of a number, or begin with nothing.
    Cut,
    /// A number does not fit, or a bin is beyond the last.
    Range,
}

// === impl Sketch ===

impl Sketch {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { zeros: 0, low: 0, bins: Vec::new() }
    }

    /// Counts a value, in microseconds.
    pub fn add(&mut self, micros: u64) {
        if micros == 0 { self.zeros = self.zeros.saturating_add(1) } else { self.count_in(bin(micros), 1) }
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        for (n, count) in other.bins.iter().enumerate() {
            self.count_in(other.low + n, *count);
        }
    }

    /// Counts what a sketch in bytes has counted, without making that one. No bytes are an empty sketch.
    ///
    /// # Errors
    /// [`SketchError`]; what was read up to there is then counted.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        let Some((version, mut rest)) = bytes.split_first() else { return Ok(()) };
        if *version != VERSION {
            return Err(SketchError::Version(*version));
        }
        self.zeros = self.zeros.saturating_add(take(&mut rest)?);
        // one more than the bin before
        let mut next = 0_usize;
        while !rest.is_empty() {
            let gap = usize::try_from(take(&mut rest)?).map_err(|_| SketchError::Range)?;
            let count = take(&mut rest)?;
            let bin = next.checked_add(gap).filter(|bin| *bin <= LAST).ok_or(SketchError::Range)?;
            self.count_in(bin, count);
            next = bin + 1;
        }
        Ok(())
    }

    /// A sketch from its bytes.
    ///
    /// # Errors
    /// [`SketchError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut sketch = Self::new();
        sketch.merge_bytes(bytes)?;
        Ok(sketch)
    }

    /// Its bytes; none for an empty one.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.count() == 0 {
            return Vec::new();
        }
        let mut bytes = vec![VERSION];
        put(&mut bytes, self.zeros);
        let mut next = 0;
        for (n, count) in self.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let bin = self.low + n;
            put(&mut bytes, (bin - next) as u64);
            put(&mut bytes, *count);
            next = bin + 1;
        }
        bytes
    }

    /// How many values it has seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(self.zeros, |sum, count| sum.saturating_add(*count))
    }

    /// The values that it has seen, in microseconds and within half a per cent, the smallest first, and how often each.
    pub fn values(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let zeros = Some((0.0, self.zeros));
        let bins = self.bins.iter().enumerate().map(|(n, count)| (middle(self.low + n), *count));
        zeros.into_iter().chain(bins).filter(|(_, count)| *count > 0)
    }

    /// The smallest value that a share `p` of all values does not exceed, in microseconds: what `percentile_disc` gives,
    /// within half a per cent. None when it has seen nothing.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        // as Postgres has it: the rank is rounded up, and at least the first
        let rank = ((p.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = self.zeros;
        if rank <= seen {
            return Some(0.0);
        }
        let at = self.bins.iter().position(|count| {
            seen = seen.saturating_add(*count);
            rank <= seen
        })?;
        Some(middle(self.low + at))
    }

    fn count_in(&mut self, bin: usize, count: u64) {
        if count == 0 {
            return;
        }
        if self.bins.is_empty() {
            self.low = bin;
        } else if bin < self.low {
            self.bins.splice(0..0, std::iter::repeat_n(0, self.low - bin));
            self.low = bin;
        }
        let at = bin - self.low;
        if at >= self.bins.len() {
            self.bins.resize(at + 1, 0);
        }
        if let Some(counted) = self.bins.get_mut(at) {
            *counted = counted.saturating_add(count);
        }
    }
}

/// The bin of a value that is not 0.
fn bin(micros: u64) -> usize {
    ((micros as f64).ln() / LN_GAMMA).ceil() as usize
}

/// The value that no value of the bin is further from than [`ALPHA`].
fn middle(bin: usize) -> f64 {
    2.0 * (bin as f64 * LN_GAMMA).exp() / (GAMMA + 1.0)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, SketchError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(SketchError::Cut)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return Err(SketchError::Range);
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(SketchError::Range)
}

impl FromIterator<u64> for Sketch {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let mut sketch = Self::new();
        values.into_iter().for_each(|micros| sketch.add(micros));
        sketch
    }
}

// === impl SketchError ===

impl fmt::Display for SketchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "a sketch of version {version}: expected {VERSION}"),
            Self::Cut => f.write_str("a sketch that ends in the middle of a number"),
            Self::Range => f.write_str("a sketch with a number that is too large"),
        }
    }
}

impl std::error::Error for SketchError {}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Durations of every size, the small and the usual ones often.
    fn durations() -> impl Strategy<Value = u64> {
        prop_oneof![0..20_u64, 0..100_000_u64, 1_000..60_000_000_u64, any::<u64>()]
    }

    /// As Postgres has it.
    fn percentile_disc(values: &mut [u64], p: f64) -> u64 {
        values.sort_unstable();
        values[((p * values.len() as f64).ceil() as usize).max(1) - 1]
    }

    fn merged<'a>(sketches: impl IntoIterator<Item = &'a Sketch>) -> Sketch {
        let mut all = Sketch::new();
        sketches.into_iter().for_each(|sketch| all.merge(sketch));
        all
    }

    #[test]
    fn the_constants_agree() {
        assert!((GAMMA.ln() - LN_GAMMA).abs() < 1e-15);
        assert_eq!(bin(u64::MAX), LAST);
        assert_eq!((bin(1), bin(2)), (0, 70));
    }

    #[test]
    fn nothing_has_no_quantile_and_no_bytes() {
        assert_eq!(Sketch::new().quantile(0.5), None);
        assert!(Sketch::new().to_bytes().is_empty());
        assert_eq!(Sketch::from_bytes(&[]), Ok(Sketch::new()));
    }

    #[test]
    fn bytes_that_are_no_sketch_are_refused() {
        assert_eq!(Sketch::from_bytes(&[2, 0]), Err(SketchError::Version(2)));
        assert_eq!(Sketch::from_bytes(&[1]), Err(SketchError::Cut));
        assert_eq!(Sketch::from_bytes(&[1, 0, 5]), Err(SketchError::Cut));
        assert_eq!(Sketch::from_bytes(&[1, 0, 0xff, 0x7f, 1]), Err(SketchError::Range));
        assert_eq!(Sketch::from_bytes(&[[1].as_slice(), &[0xff; 10]].concat()), Err(SketchError::Range));
    }

    #[test]
    fn the_bytes_are_what_tables_hold() {
        let sketch: Sketch = [0, 0, 1, 2, 2].into_iter().collect();
        assert_eq!(sketch.to_bytes(), [1, 2, 0, 1, 69, 2]);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_alpha_of_percentile_disc(mut values in vec(durations(), 1..400), p in 0.0..=1.0) {
            let sketch: Sketch = values.iter().copied().collect();
            for p in [p, 0.5, 0.95, 0.99] {
                let exact = percentile_disc(&mut values, p) as f64;
                let found = sketch.quantile(p).unwrap();
                // the last digits of a logarithm are not exact
                prop_assert!((found - exact).abs() <= exact * ALPHA * 1.000_001, "p{p}: {found} for {exact}");
            }
        }

        #[test]
        fn merging_is_as_if_one_had_seen_all(parts in vec(vec(durations(), 0..50), 3)) {
            let [a, b, c] = [0, 1, 2].map(|n| parts[n].iter().copied().collect::<Sketch>());
            let whole: Sketch = parts.concat().into_iter().collect();
            prop_assert_eq!(&merged([&a, &b, &c]), &whole);
            prop_assert_eq!(&merged([&c, &a, &b]), &whole);
            prop_assert_eq!(&merged([&a, &merged([&b, &c])]), &whole);
        }

        #[test]
        fn bytes_bring_back_what_was_written(values in vec(durations(), 0..200), more in vec(durations(), 0..50)) {
            let sketch: Sketch = values.iter().copied().collect();
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Ok(sketch.clone()));
            let counted: u64 = sketch.values().map(|(_, count)| count).sum();
            prop_assert_eq!(counted, values.len() as u64);
            let mut read: Sketch = more.iter().copied().collect();
            read.merge_bytes(&sketch.to_bytes()).unwrap();
            prop_assert_eq!(read, [values, more].concat().into_iter().collect::<Sketch>());
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..40)) {
            let _ = Sketch::from_bytes(&bytes);
        }
    }
}
