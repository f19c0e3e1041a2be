//! Functions with the same bits as the result on every target.
//!
//! The functions of `f64`, such as `f64::ln`, come from the platform's C library on native targets and from Rust's own
//! implementation on WebAssembly. The two differ in the last bit for up to a tenth of inputs. The functions of this module
//! come from the pinned crate `libm` on every target. Addition, multiplication, division and `sqrt` are correctly rounded
//! by IEEE 754, so they need no replacement.

/// Returns the natural logarithm of `x`.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Returns e to the power `x`.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// Returns `x` to the power `y`.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Returns −p log p, or 0 if p = 0.
pub fn entropy_term(p: f64) -> f64 {
    if p > 0.0 { -p * ln(p) } else { 0.0 }
}
