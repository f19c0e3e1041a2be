//! Selection of rows, with a gradient made of selections.
//!
//! candle's gradient of `index_select` is `index_add`, which walks all indices one after the other in each thread of a
//! device: with one for each layer and direction it took three quarters of an update. Here the rows that read the same
//! source are known in advance, and their gradients are added in pairs, pairs of pairs and so on. Each round is two
//! selections and a sum, in a fixed order, so the gradient has the same bits every time.

use crate::profile;
use candle_core::{Device, Result, Tensor};

use super::function::{Value, function};

/// The index of a row of zeros. candle's `index_select` gives zeros for it on every device.
pub(crate) const ZERO_ROW: u32 = u32::MAX;

/// A selection of rows: row `i` of the output is row `index[i]` of the source, or zero for [`ZERO_ROW`].
#[derive(Debug, Clone)]
pub(crate) struct Gather {
    index: Tensor,
    /// For each row of the source the output row that alone reads it.
    single: Tensor,
    /// Sums over the readers of rows that are read more than once.
    multiple: Option<Sums>,
}

/// Sums of rows in rounds. Each round adds pairs of rows of the previous one; the first begins with the output's rows.
#[derive(Debug, Clone)]
struct Sums {
    /// The two summands of each row of a round.
    rounds: Vec<(Tensor, Tensor)>,
    /// For each row of the source the row of the last round with its sum.
    place: Tensor,
}

impl Gather {
    /// Prepares a selection from `source_rows` rows; every index is below that or [`ZERO_ROW`].
    pub(crate) fn new(index: &[u32], source_rows: usize, device: &Device) -> Result<Self> {
        let mut readers: Vec<Vec<u32>> = vec![Vec::new(); source_rows];
        for (row, &source) in index.iter().enumerate().filter(|(_, source)| **source != ZERO_ROW) {
            readers[source as usize].push(row as u32);
        }
        let ids = |values: Vec<u32>| Tensor::new(values, device);
        let single = readers.iter().map(|readers| if let [row] = readers[..] { row } else { ZERO_ROW }).collect();
        let (sources, mut segments): (Vec<usize>, Vec<Vec<u32>>) =
            readers.into_iter().enumerate().filter(|(_, readers)| readers.len() > 1).unzip();
        let multiple = if segments.is_empty() {
            None
        } else {
            let mut rounds = Vec::new();
            while rounds.is_empty() || segments.iter().any(|segment| segment.len() > 1) {
                let (mut left, mut right) = (Vec::new(), Vec::new());
                for segment in &mut segments {
                    let first = left.len() as u32;
                    for pair in segment.chunks(2) {
                        left.push(pair[0]);
                        right.push(pair.get(1).copied().unwrap_or(ZERO_ROW));
                    }
                    *segment = (first..left.len() as u32).collect();
                }
                rounds.push((ids(left)?, ids(right)?));
            }
            let mut place = vec![ZERO_ROW; source_rows];
            for (source, segment) in sources.into_iter().zip(&segments) {
                place[source] = segment[0];
            }
            Some(Sums { rounds, place: ids(place)? })
        };
        Ok(Self { index: ids(index.to_vec())?, single: ids(single)?, multiple })
    }

    /// Selects rows of `x` (source rows, width).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let _time = profile::time("gather");
        let value = x.detach().contiguous()?.index_select(&self.index, 0)?;
        let this = self.clone();
        function([x], Value::Tensor(value), move |[_], grad| Ok([Some(this.reverse(grad)?)]))
    }

    /// Returns for each row of the source the sum of `grad` over the output rows that read it: the gradient of
    /// [`Self::forward`].
    pub(crate) fn reverse(&self, grad: &Tensor) -> Result<Tensor> {
        let _time = profile::time("gather backward");
        let grad = grad.detach().contiguous()?;
        let single = grad.index_select(&self.single, 0)?;
        let Some(Sums { rounds, place }) = &self.multiple else { return Ok(single) };
        let mut sums = grad;
        for (left, right) in rounds {
            sums = (sums.index_select(left, 0)? + sums.index_select(right, 0)?)?;
        }
        single + sums.index_select(place, 0)?
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::{super::twins::noise, *};

    #[test]
    fn value_and_gradient_are_those_of_index_select() {
        // Row 2 is read by seven rows, rows 0 and 5 by one and by two, the others by none.
        let index = [2u32, 0, 2, 5, 2, 2, 2, 5, 2, 2];
        let x = Var::from_tensor(&noise(&[6, 3], 1)).unwrap();
        let upstream = noise(&[10, 3], 2);
        let run = |value: Tensor| {
            let grads = (&value * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
            [value.detach(), grads.get(&x).unwrap().clone()]
        };
        let got = run(Gather::new(&index, 6, &Device::Cpu).unwrap().forward(&x).unwrap());
        let want = run(x.index_select(&Tensor::new(&index, &Device::Cpu).unwrap(), 0).unwrap());
        for (got, want) in got.iter().zip(&want) {
            let error = (got - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(error < 1e-6, "off by {error:e}");
        }
    }

    #[test]
    fn padding_is_zero_and_has_no_gradient() {
        let gather = Gather::new(&[1, ZERO_ROW, ZERO_ROW, 1], 2, &Device::Cpu).unwrap();
        let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let rows = |x: Tensor| x.to_vec2::<f32>().unwrap();
        assert_eq!(rows(gather.forward(&x).unwrap()), [[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]);
        let grad = Tensor::ones((4, 2), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(rows(gather.reverse(&grad).unwrap()), [[0.0, 0.0], [2.0, 2.0]]);
    }
}
