//! Vectors with and without a property in, the plane that parts them out.

use super::features::Vector;

/// A plane: one weight for each column, and the bias last.
pub(super) type Plane = Vec<f32>;

/// What a wrong side costs against the length of the weights.
const COST: f64 = 4.0;
/// How far from optimal the dual may be left.
const TOLERANCE: f64 = 0.01;
/// The most passes over the examples.
const PASSES: usize = 200;

/// The plane of a linear support vector machine with squared hinge loss: `w · x` is at least 1 for vectors that
/// `belongs` says yes to, at most -1 for the others, as far as that can be had.
///
/// Solved by dual coordinate descent with shrinking: Hsieh, Chang, Lin, Keerthi and Sundararajan, *A Dual Coordinate
/// Descent Method for Large-scale Linear SVM* (2008), algorithm 3. The bias is the weight of a column that is 1
/// everywhere. The order of the examples is shuffled by a generator with a fixed seed: the same input gives the same
/// plane, bit for bit.
pub(super) fn separate(vectors: &[Vector], columns: usize, belongs: impl Fn(usize) -> bool) -> Plane {
    let mut plane = vec![0.0_f32; columns + 1];
    let diagonal = 0.5 / COST;
    let curvature: Vec<f64> = vectors
        .iter()
        .map(|vector| diagonal + 1.0 + vector.iter().map(|(_, v)| f64::from(v * v)).sum::<f64>())
        .collect();
    let mut alphas = vec![0.0_f64; vectors.len()];
    let mut active: Vec<usize> = (0..vectors.len()).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bound = f64::INFINITY;
    for _ in 0..PASSES {
        shuffle(&mut active, &mut seed);
        let (mut most, mut least) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut at = 0;
        while let Some(&example) = active.get(at) {
            let (vector, alpha) = (&vectors[example], alphas[example]);
            let sign = if belongs(example) { 1.0 } else { -1.0 };
            let gradient = sign * f64::from(value(&plane, vector)) - 1.0 + diagonal * alpha;
            if alpha == 0.0 && gradient > bound {
                active.swap_remove(at);
                continue;
            }
            at += 1;
            let projected = if alpha == 0.0 { gradient.min(0.0) } else { gradient };
            most = most.max(projected);
            least = least.min(projected);
            if projected.abs() > 1e-12 {
                let moved = (alpha - gradient / curvature[example]).max(0.0);
                alphas[example] = moved;
                add(&mut plane, vector, ((moved - alpha) * sign) as f32);
            }
        }
        // not their spread: two alike examples of either kind climb together, and are far from done
        if most.max(-least) <= TOLERANCE {
            if active.len() == vectors.len() {
                break;
            }
            // What was left out is looked at once more before the plane counts as found.
            active = (0..vectors.len()).collect();
            bound = f64::INFINITY;
        } else {
            bound = if most > 0.0 { most } else { f64::INFINITY };
        }
    }
    plane
}

/// How far on its side of the plane a vector lies: `w · x + b`.
fn value(plane: &[f32], vector: &Vector) -> f32 {
    let bias = plane.last().copied().unwrap_or_default();
    bias + vector.iter().map(|&(column, v)| plane[column as usize] * v).sum::<f32>()
}

fn add(plane: &mut [f32], vector: &Vector, by: f32) {
    for &(column, v) in vector {
        plane[column as usize] += by * v;
    }
    if let Some(bias) = plane.last_mut() {
        *bias += by;
    }
}

/// Fisher and Yates, with the xorshift generator of Marsaglia (2003).
fn shuffle(order: &mut [usize], seed: &mut u64) {
    for at in (1..order.len()).rev() {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        order.swap(at, (*seed % (at as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The primal objective, which the plane makes small.
    fn objective(plane: &[f32], vectors: &[Vector], belongs: &[bool]) -> f64 {
        let loss: f64 = vectors
            .iter()
            .zip(belongs)
            .map(|(vector, yes)| {
                let side = f64::from(value(plane, vector)) * if *yes { 1.0 } else { -1.0 };
                (1.0 - side).max(0.0).powi(2)
            })
            .sum();
        plane.iter().map(|w| f64::from(w * w)).sum::<f64>() / 2.0 + COST * loss
    }

    #[test]
    fn separable_vectors_are_separated() {
        let vectors = vec![vec![(0, 1.0)], vec![(0, 0.8), (1, 0.6)], vec![(1, 1.0)], vec![]];
        let plane = separate(&vectors, 2, |example| example < 2);
        assert!(value(&plane, &vectors[0]) > 0.3 && value(&plane, &vectors[1]) > 0.3, "{plane:?}");
        assert!(value(&plane, &vectors[2]) < -0.3 && value(&plane, &vectors[3]) < -0.3, "{plane:?}");
    }

    proptest! {
        #[test]
        fn no_small_step_away_from_the_plane_is_better(
            rows in proptest::collection::vec((proptest::collection::vec(-1.0_f32..1.0, 3), any::<bool>()), 2..20),
        ) {
            let vectors: Vec<Vector> = rows.iter().map(|(row, _)| (0..).zip(row.iter().copied()).collect()).collect();
            let belongs: Vec<bool> = rows.iter().map(|(_, yes)| *yes).collect();
            let plane = separate(&vectors, 3, |example| belongs[example]);
            let found = objective(&plane, &vectors, &belongs);
            for column in 0..4 {
                for step in [-0.2, 0.2] {
                    let mut other = plane.clone();
                    other[column] += step;
                    prop_assert!(objective(&other, &vectors, &belongs) >= found - 0.05 * found.max(1.0));
                }
            }
        }
    }
}
