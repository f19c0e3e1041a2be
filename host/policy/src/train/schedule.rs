//! The learning rate schedule: a linear warm-up, then constant or decaying to zero.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    setting::not_negative,
};

/// The learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Constant at the peak.
    #[default]
    Constant,
    /// Half a cosine from the peak to zero at the last step.
    Cosine,
    /// Linear from the peak to zero at the last step.
    Linear,
}

/// The learning rate as a function of the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Learning rate at the peak.
    pub learning_rate: f64,
    /// Number of steps over which the rate rises to the peak; 0 starts at the peak.
    pub warmup_steps: u64,
    /// Learning rate after the warm-up.
    pub decay: Decay,
    /// Step at which a decaying rate reaches zero; not used by [`Decay::Constant`].
    pub total_steps: u64,
    /// Number of steps over which a decaying rate falls from the peak, where it stands before: the schedule known as
    /// warm-up, stable, decay. `None` for all steps after the warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_steps: Option<u64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { learning_rate: 1e-4, warmup_steps: 0, decay: Decay::Constant, total_steps: 1, decay_steps: None }
    }
}

impl Schedule {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        not_negative("learning_rate", self.learning_rate)?;
        if self.decay == Decay::Constant && self.decay_steps.is_some() {
            let reason = "must be left out of a constant rate; it needs `decay = \"linear\"` or `\"cosine\"`";
            return Err(Error::setting("decay_steps", reason));
        }
        Ok(())
    }

    /// Returns the learning rate of optimiser step `step`, counted from 0. The rate of step 0 is not 0 but
    /// `learning_rate / warmup_steps`.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let stable = self.decay_steps.map_or(0, |steps| self.total_steps.saturating_sub(steps));
        let peak = stable.max(self.warmup_steps);
        let span = self.total_steps.saturating_sub(peak).max(1) as f64;
        let done = (step.saturating_sub(peak) as f64 / span).min(1.0);
        match self.decay {
            Decay::Constant => self.learning_rate,
            Decay::Linear => self.learning_rate * (1.0 - done),
            Decay::Cosine => self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_then_decays_to_zero() {
        let schedule =
            |decay| Schedule { learning_rate: 2.0, warmup_steps: 4, decay, total_steps: 14, decay_steps: None };
        for decay in [Decay::Constant, Decay::Cosine, Decay::Linear] {
            let rates: Vec<f64> = (0..5).map(|step| schedule(decay).rate(step)).collect();
            assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0]);
        }
        assert_eq!(schedule(Decay::Constant).rate(1_000_000), 2.0);
        assert_eq!(schedule(Decay::Linear).rate(9), 1.0);
        assert!((schedule(Decay::Cosine).rate(9) - 1.0).abs() < 1e-12);
        assert_eq!(schedule(Decay::Linear).rate(14), 0.0);
        assert!(schedule(Decay::Cosine).rate(99) < 1e-12);
    }

    #[test]
    fn a_decay_may_begin_late() {
        let schedule = |decay_steps| Schedule {
            learning_rate: 2.0,
            warmup_steps: 4,
            decay: Decay::Linear,
            total_steps: 14,
            decay_steps: Some(decay_steps),
        };
        let rates: Vec<f64> = [3, 9, 10, 12, 14].iter().map(|step| schedule(4).rate(*step)).collect();
        assert_eq!(rates, [2.0, 2.0, 2.0, 1.0, 0.0]);
        // One that is longer than the steps after the warm-up is as long as those.
        assert_eq!(schedule(100).rate(9), 1.0);
    }
}
