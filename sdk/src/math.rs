//! Functions whose last bit is the same on every target.
//!
//! `f64::ln` and its like come from the platform's C library on native targets and from Rust's own on WebAssembly,
//! and the two differ in the last bit on up to a tenth of inputs. These come from the pinned crate `libm` everywhere;
//! addition, multiplication, division and `sqrt` are exact in IEEE 754 and need no help.

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// e to the power x.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// x to the power y.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// −p log p, and 0 at p = 0.
pub fn entropy_term(p: f64) -> f64 {
    if p > 0.0 { -p * ln(p) } else { 0.0 }
}
