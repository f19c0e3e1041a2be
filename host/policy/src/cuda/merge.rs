//! Weights with their adapters merged, for a whole model in one launch; see [`crate::model::joined`].

use candle_core::{DType, Result, Tensor, bail};

use super::{
    launch::{Launch, count, require, suffix},
    runs::{RUN, Runs, THREADS},
};

/// A weight to write.
#[derive(Debug)]
pub(crate) struct Merge {
    /// (out, in), or a bias, (out,).
    pub(crate) weight: Tensor,
    /// A (rank, in), B (out, rank) and alpha / rank of the weight's adapter. A and B are `f32`.
    pub(crate) adapter: Option<(Tensor, Tensor, f32)>,
    /// As many numbers as the weight has.
    pub(crate) merged: Tensor,
}

/// Writes `W + scale · B A` for each weight, in one launch for each type of weights: frozen ones may have fewer bits than those
/// that are trained. What is written has one type.
pub(crate) fn merge(merges: &[Merge]) -> Result<()> {
    for dtype in [DType::F32, DType::BF16] {
        merge_of_a_type(&merges.iter().filter(|merge| merge.weight.dtype() == dtype).collect::<Vec<_>>())?;
    }
    match merges.iter().find(|merge| ![DType::F32, DType::BF16].contains(&merge.weight.dtype())) {
        Some(other) => bail!("there is no kernel for {:?}", other.weight.dtype()),
        None => Ok(()),
    }
}

fn merge_of_a_type(merges: &[&Merge]) -> Result<()> {
    let Some(first) = merges.first() else { return Ok(()) };
    let device = first.merged.device();
    let none = Tensor::zeros(1, DType::F32, device)?;
    let (mut sizes, mut scales) = (Vec::new(), Vec::new());
    let (mut weights, mut a_list, mut b_list, mut merged) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for merge in merges {
        let (width, elements) = (merge.weight.dims().last().copied().unwrap_or(1), merge.weight.elem_count());
        let (a, b, scale) = match &merge.adapter {
            Some((a, b, scale)) => (a, b, *scale),
            None => (&none, &none, 0.0),
        };
        let rank = if merge.adapter.is_some() { a.dim(0)? } else { 0 };
        let fits = rank == 0 || (a.dims() == [rank, width] && b.dims() == [elements / width, rank]);
        if !fits || merge.merged.elem_count() != elements {
            bail!("{:?} cannot be merged to {:?} with {a:?} and {b:?}", merge.weight, merge.merged);
        }
        sizes.extend([width as u32, rank as u32]);
        scales.push(scale);
        weights.push(&merge.weight);
        a_list.push(a);
        b_list.push(b);
        merged.push(&merge.merged);
    }
    require(&a_list, DType::F32)?;
    require(&b_list, DType::F32)?;
    let Runs { blocks, runs, counts } = Runs::of(&weights, device)?;
    let [] = Launch {
        module: "merge",
        kernel: format!("merge_{}_{}", suffix(&weights)?, suffix(&merged)?),
        grid: [blocks, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&runs, &counts, &Tensor::new(sizes, device)?, &Tensor::new(scales, device)?],
        updates: &[],
        outputs: &[],
        lists: &[&weights, &a_list, &b_list, &merged],
        numbers: &[count(RUN)?],
    }
    .run()?;
    Ok(())
}
