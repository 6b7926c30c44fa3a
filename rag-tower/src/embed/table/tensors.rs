//! A safetensors file in, one matrix out: eight bytes with the length of a JSON header, the header, the numbers.

use std::collections::HashMap;

use serde::Deserialize;

/// Rows of equal length, one after the other.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// The matrix of a name. The error says what was expected.
pub(super) fn matrix(file: &[u8], name: &str) -> Result<Matrix, String> {
    let broken = || "expected a safetensors file".to_owned();
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(broken)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| broken())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(broken)?;
    let header: HashMap<String, serde_json::Value> = serde_json::from_slice(header).map_err(|_| broken())?;
    let tensor = header.get(name).ok_or_else(|| format!("expected a tensor named {name}"))?;
    let tensor = Tensor::deserialize(tensor).map_err(|_| broken())?;
    let bytes = data.get(tensor.data_offsets.0..tensor.data_offsets.1).ok_or_else(broken)?;
    let values: Vec<f32> = match tensor.dtype.as_str() {
        "F32" => bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect(),
        "F16" => bytes.as_chunks().0.iter().map(|number| half(u16::from_le_bytes(*number))).collect(),
        other => return Err(format!("expected numbers of the kind F32 or F16, found {other}")),
    };
    match tensor.shape[..] {
        [rows, columns] if rows.checked_mul(columns) == Some(values.len()) => {
            Ok(Matrix { rows, columns, values })
        }
        _ => Err("expected a matrix as large as its shape".to_owned()),
    }
}

/// A number of IEEE 754's 16-bit form.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    }
}

/// A file with one matrix named `embeddings`.
#[cfg(test)]
pub(super) fn file(dtype: &str, shape: [usize; 2], values: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let header = serde_json::json!({
        "__metadata__": {"format": "pt"},
        "embeddings": {"dtype": dtype, "shape": shape, "data_offsets": [0, data.len()]},
    });
    let header = header.to_string().into_bytes();
    [(header.len() as u64).to_le_bytes().to_vec(), header, data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_read_and_a_broken_file_is_refused() {
        let good = file("F32", [2, 1], &[1.5, -2.0]);
        let read = matrix(&good, "embeddings").unwrap();
        assert_eq!((read.rows, read.columns, read.values), (2, 1, vec![1.5, -2.0]));
        assert!(matrix(&good, "weights").unwrap_err().contains("weights"));
        assert!(matrix(&file("F32", [2, 2], &[1.5, -2.0]), "embeddings").unwrap_err().contains("shape"));
        assert!(matrix(&file("I8", [1, 1], &[0.0]), "embeddings").unwrap_err().contains("I8"));
        for end in 0..good.len() {
            assert!(matrix(&good[..end], "embeddings").is_err());
        }
        let mut huge = good;
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matrix(&huge, "embeddings").is_err());
    }

    #[test]
    fn half_numbers_are_read() {
        for (bits, number) in
            [(0x0000, 0.0), (0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x7bff, 65504.0)]
        {
            assert_eq!(half(bits), number);
        }
        assert_eq!(half(0x0001), 5.960_464_5e-8);
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }
}
