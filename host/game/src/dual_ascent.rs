//! Dual ascent on the multiplier of a constraint: the target player's price for exceeding the limit.

/// Returns the next multiplier, μ ← max(0, μ + η·violation). The violation is cost − limit, averaged over a step's bundles.
pub fn step(multiplier: f64, rate: f64, violation: f64) -> f64 {
    (multiplier + rate * violation).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::step;

    /// Two answers of equal reference probability, cost 1 and 0, limit 0.2, β = 1: the policy's best response is
    /// ν(costly) = 1/(1 + e^μ), which meets the limit at μ* = log 4.
    #[test]
    fn converges_to_the_multiplier_of_the_constrained_optimum() {
        let mut mu = 0.0f64;
        for _ in 0..500 {
            mu = step(mu, 1.0, 1.0 / (1.0 + mu.exp()) - 0.2);
        }
        assert!((mu - 4f64.ln()).abs() < 1e-9, "{mu}");
        assert_eq!(step(0.1, 1.0, -5.0), 0.0);
    }
}
