//! Rounding: the constants of the standard model of floating-point arithmetic.
//!
//! Every operation returns `(a op b)(1 + d)` with `|d| <= u`, plus at most half the smallest subnormal number where a
//! product underflows; a sum of k terms, in any order, with or without fused multiply-add, is within
//! `gamma_k * sum |terms|` of the real sum (Higham 2002, section 3.1). `docs/soundness.md`, section 2.

/// The unit roundoff u of float64, 2^-53.
pub const UNIT: f64 = f64::EPSILON / 2.0;

/// The unit roundoff of float32, 2^-24.
pub const SINGLE_UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// The smallest positive float32 number, 2^-149: no float32 product is off by more than half of it through underflow.
pub const SINGLE_SUBNORMAL: f64 = 1.401298464324817e-45;

/// A factor by which bounds are multiplied, so that the rounding of the bound itself (fewer than 2^20 float64
/// operations on nonnegative numbers) cannot make it too small.
pub const OUTWARD: f64 = 1.0 + 1e-9;

/// `gamma_k = k u / (1 - k u)`, rounded outward; infinite where `k u >= 1`.
pub fn gamma(terms: usize, unit: f64) -> f64 {
    let product = terms as f64 * unit;
    if product < 1.0 {
        product / (1.0 - product) * OUTWARD
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_powers_of_two() {
        assert_eq!(UNIT, 2f64.powi(-53));
        assert_eq!(SINGLE_UNIT, 2f64.powi(-24));
        assert_eq!(SINGLE_SUBNORMAL, 2f64.powi(-149));
    }

    #[test]
    fn gamma_is_at_least_its_definition() {
        for terms in [0, 1, 7, 128, 1 << 20] {
            let product = terms as f64 * UNIT;
            assert!(gamma(terms, UNIT) >= product / (1.0 - product));
        }
        assert_eq!(gamma(1 << 24, SINGLE_UNIT), f64::INFINITY);
    }
}
