//! Attention over a packed batch; see [`crate::ops::attend`].

use std::cmp::Reverse;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::launch::{Launch, Number, count, suffix};
use alft_kernels::{Group, Heads};

/// Rows of a tile, as in `attention.cu`.
const TILE: usize = 32;
/// Threads of a block of the kernels with and without products on tensor cores.
const TENSOR_THREADS: usize = 64;
const THREADS: usize = 128;
/// Elements between the rows of a tile besides the row, as in `tensor_attention.cu`.
const TENSOR_GAP: usize = 8;
/// Widths of a head that the kernels are compiled for; a narrower head is filled up with zeros. The last one is for tensor cores
/// alone: tiles in 32 bits would be larger than the shared memory of many devices.
const WIDTHS: [usize; 4] = [32, 64, 128, 256];
/// Columns of a block of the kernel for keys on tensor cores at most, as in `tensor_attention.cu`.
const TENSOR_COLUMNS: usize = 128;

/// The division of a batch into tiles.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// For each tile of queries: first row, rows, first row and rows of the prompt (0 for a prompt itself), first row of the part;
    /// (tiles, 5).
    queries: Tensor,
    /// For each tile of keys: first row, rows, and the end of the rows that may attend to it; (tiles, 3).
    keys: Tensor,
    /// The position of each row in its prompt and completion, (rows,).
    positions: Tensor,
}

impl Tiles {
    pub(crate) fn new(groups: &[Group], device: &Device) -> Result<Self> {
        let (mut queries, mut keys, mut positions) = (Vec::new(), Vec::new(), Vec::<u32>::new());
        for group in groups {
            for (row, rows, prompt) in group.parts() {
                let part = group.start + row;
                positions.extend((prompt..prompt + rows).map(|position| position as u32));
                // All rows of the group after a prompt's key attend to it; of a completion's key, those of the completion.
                let end = if row == 0 && group.prompt > 0 { group.start + group.rows() } else { part + rows };
                for first in (part..part + rows).step_by(TILE) {
                    let count = TILE.min(part + rows - first);
                    queries.push([first, count, group.start, prompt, part]);
                    keys.push([first, count, end]);
                }
            }
        }
        // The tiles with most work start first, so that none of them is alone at the end.
        queries.sort_by_key(|[first, count, _, prompt, part]| Reverse(prompt + first + count - part));
        keys.sort_by_key(|[first, _, end]| Reverse(end - first));
        let table = |values: Vec<u32>, width: usize| {
            let tiles = values.len() / width;
            Tensor::from_vec(values, (tiles, width), device)
        };
        let flat = |values: &[usize]| values.iter().map(|value| *value as u32).collect::<Vec<_>>();
        Ok(Self {
            queries: table(flat(queries.as_flattened()), 5)?,
            keys: table(flat(keys.as_flattened()), 3)?,
            positions: Tensor::new(positions, device)?,
        })
    }
}

/// The kernels for heads of some width and elements of some type, and the numbers that all of them take.
struct Kernels {
    module: &'static str,
    /// The ending of their symbols.
    ending: String,
    threads: usize,
    /// Bytes of a tile of rows, and of a tile of scores.
    bytes: [usize; 2],
    /// Blocks that divide the columns of a tile of keys.
    columns: usize,
    numbers: [Number; 5],
}

impl Kernels {
    fn of(heads: Heads, tensors: &[&Tensor]) -> Result<Self> {
        let kind = suffix(tensors)?;
        let Some(width) = width(heads, tensors[0].dtype()) else {
            bail!("there are no attention kernels for heads of {} elements in {kind}", heads.dim);
        };
        // No sequence is as long as the largest number.
        let window = Number::U32(heads.window.min(i32::MAX as usize) as u32);
        let scale = Number::F32(heads.scale as f32);
        let numbers = [count(heads.query)?, count(heads.repeats())?, count(heads.dim)?, scale, window];
        Ok(if on_tensor_cores(heads, tensors[0].dtype()) {
            let bytes = [2 * TILE * (width + TENSOR_GAP), 0];
            let columns = width.div_ceil(TENSOR_COLUMNS);
            let (module, ending) = ("tensor_attention", width.to_string());
            Self { module, ending, threads: TENSOR_THREADS, bytes, columns, numbers }
        } else {
            let bytes = [4 * TILE * (width + 1), 4 * TILE * (TILE + 1)];
            let (module, ending) = ("attention", format!("{width}_{kind}"));
            Self { module, ending, threads: THREADS, bytes, columns: 1, numbers }
        })
    }

    fn kernel(&self, kind: &str) -> String {
        format!("{}{kind}_{}", self.module, self.ending)
    }

    /// Returns the bytes of shared memory for this many tiles of rows and of scores.
    fn shared(&self, rows: usize, scores: usize) -> usize {
        rows * self.bytes[0] + scores * self.bytes[1]
    }
}

/// Returns true if there are kernels for heads of this width and elements of this type.
pub(crate) fn supports(heads: Heads, dtype: DType) -> bool {
    width(heads, dtype).is_some()
}

/// Returns true if products run on tensor cores. They multiply numbers of 16 bits, which are read eight at a time.
fn on_tensor_cores(heads: Heads, dtype: DType) -> bool {
    dtype == DType::BF16 && heads.dim.is_multiple_of(8)
}

/// Returns the width of the kernels for heads of some width.
fn width(heads: Heads, dtype: DType) -> Option<usize> {
    let widths = if on_tensor_cores(heads, dtype) { &WIDTHS[..] } else { &WIDTHS[..3] };
    widths.iter().copied().find(|width| *width >= heads.dim)
}

/// Computes the attention of `q` (rows, query heads · dim) over `k` and `v` (rows, kv heads · dim).
pub(crate) fn forward(heads: Heads, tiles: &Tiles, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    Ok(with_log_sums(heads, tiles, q, k, v, false)?.0)
}

/// Returns the attention and the log-sum-exp of each row and head, (rows, heads); if `sums_only`, the former is not
/// filled.
fn with_log_sums(
    heads: Heads,
    tiles: &Tiles,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    sums_only: bool,
) -> Result<(Tensor, Tensor)> {
    let kernels = Kernels::of(heads, &[q, k, v])?;
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let [out, log_sums] = Launch {
        module: kernels.module,
        kernel: kernels.kernel(""),
        grid: [tiles.queries.dim(0)?, heads.query],
        threads: kernels.threads,
        // Queries, keys and values; without tensor cores, values follow keys in the same place.
        shared: kernels.shared(if kernels.threads == TENSOR_THREADS { 3 } else { 2 }, 1),
        inputs: &[&q, &k, &v, &tiles.queries],
        updates: &[],
        outputs: &[(q.dims(), q.dtype()), (&[q.dim(0)?, heads.query], DType::F32)],
        lists: &[],
        numbers: &[&kernels.numbers[..], &[Number::U32(sums_only.into())]].concat(),
    }
    .run()?;
    Ok((out, log_sums))
}

/// Returns the gradients for `q`, `k` and `v`, given the value and its gradient.
pub(crate) fn backward(
    heads: Heads,
    tiles: &Tiles,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    grad: &Tensor,
) -> Result<[Tensor; 3]> {
    let kernels = Kernels::of(heads, &[q, k, v, out, grad])?;
    let (q, k, v, out, grad) =
        (q.contiguous()?, k.contiguous()?, v.contiguous()?, out.contiguous()?, grad.contiguous()?);
    let (_, log_sums) = with_log_sums(heads, tiles, &q, &k, &v, true)?;
    let rows = q.dim(0)?;
    let means_of = rows * heads.query;
    let [means] = Launch {
        module: "attention",
        kernel: format!("attention_means_{}", suffix(&[&out])?),
        grid: [means_of.div_ceil(THREADS / 32), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&out, &grad],
        updates: &[],
        outputs: &[(&[rows, heads.query], DType::F32)],
        lists: &[],
        numbers: &[count(means_of)?, count(heads.dim)?],
    }
    .run()?;
    let [for_q] = Launch {
        module: kernels.module,
        kernel: kernels.kernel("_queries"),
        grid: [tiles.queries.dim(0)?, heads.query],
        threads: kernels.threads,
        shared: kernels.shared(4, 1),
        inputs: &[&q, &k, &v, &grad, &tiles.queries, &log_sums, &means],
        updates: &[],
        outputs: &[(q.dims(), q.dtype())],
        lists: &[],
        numbers: &kernels.numbers,
    }
    .run()?;
    let on_tensor_cores = kernels.threads == TENSOR_THREADS;
    // Of tensor cores each query head has a part of its own, in 32 bits.
    let parts: (&[usize], DType) = if on_tensor_cores { (q.dims(), DType::F32) } else { (k.dims(), k.dtype()) };
    let [for_k, for_v] = Launch {
        module: kernels.module,
        kernel: kernels.kernel("_keys"),
        grid: [tiles.keys.dim(0)?, if on_tensor_cores { heads.query * kernels.columns } else { heads.kv }],
        threads: kernels.threads,
        shared: kernels.shared(4, 2),
        inputs: &[&q, &k, &v, &grad, &tiles.keys, &tiles.positions, &log_sums, &means],
        updates: &[],
        outputs: &[parts, parts],
        lists: &[],
        numbers: &kernels.numbers,
    }
    .run()?;
    if !on_tensor_cores {
        return Ok([for_q, for_k, for_v]);
    }
    let elements = k.elem_count();
    let [for_k, for_v] = Launch {
        module: "tensor_attention",
        kernel: "tensor_attention_join".to_owned(),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&for_k, &for_v],
        updates: &[],
        outputs: &[(k.dims(), k.dtype()), (v.dims(), v.dtype())],
        lists: &[],
        numbers: &[count(elements)?, count(heads.repeats())?, count(heads.dim)?],
    }
    .run()?;
    Ok([for_q, for_k, for_v])
}
