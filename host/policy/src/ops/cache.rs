//! The cache of keys and values of one layer while decoding, in blocks.
//!
//! A cache is a pool of places, one for the key and the value of a token. Sequences own blocks of [`BLOCK`] places, in any
//! order, so that one can enter or leave without moving another, and those with a common prompt read the same blocks.
//! The [`Writes`] and [`Reads`] of a pass are made once and serve all layers.

use alft_kernels::{self as kernels, CachedGroup, Heads};
use std::{cell::OnceCell, ops::Range};

use candle_core::{DType, Device, Result, Tensor};

use super::{
    attention::softmax,
    floats::{with_floats, with_floats_mut},
    path::{Op, Path},
    rotary::Rotary,
};
use crate::{cuda, profile};

/// Number of places of a block.
pub(crate) const BLOCK: usize = 64;

/// The places of consecutive tokens: blocks of the pool that are full but for the last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Places {
    /// The blocks, in the order of the tokens.
    pub(crate) blocks: Vec<u32>,
    /// Number of tokens.
    pub(crate) len: usize,
}

impl Places {
    /// Returns the number of blocks that `len` tokens need.
    pub(crate) fn blocks_for(len: usize) -> usize {
        len.div_ceil(BLOCK)
    }

    /// Returns the place of token `index`.
    pub(crate) fn place(&self, index: usize) -> usize {
        self.blocks[index / BLOCK] as usize * BLOCK + index % BLOCK
    }

    /// Returns the places in use, a range for each block.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        self.spans_of(0..self.len)
    }

    /// Returns the places of some tokens, a range for each block.
    pub(crate) fn spans_of(&self, tokens: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let end = tokens.end.min(self.len);
        let from = tokens.start.min(end);
        self.blocks.iter().zip((0..end).step_by(BLOCK)).skip(from / BLOCK).map(move |(block, first)| {
            let start = *block as usize * BLOCK;
            start + from.saturating_sub(first)..start + BLOCK.min(end - first)
        })
    }
}

/// The places that each row of a step attends to.
#[derive(Debug)]
pub(crate) struct Reads {
    /// The rows, in groups of neighbours that share a prompt.
    groups: Vec<CachedGroup>,
    /// The same for composed operations, made by the first layer.
    padded: OnceCell<Padded>,
    /// The same for the CUDA kernel, made by the first layer: the first place and the number of places of each range, (rows,
    /// ranges, 2). Rows of fewer ranges end in empty ones.
    spans: OnceCell<Tensor>,
}

/// The places of rows, padded to the longest row.
#[derive(Debug)]
struct Padded {
    /// The places, (rows · longest,); padding reads place 0.
    places: Tensor,
    /// 0 at places and −10³⁰ at padding, (rows, 1, 1, longest).
    mask: Tensor,
    longest: usize,
}

impl Reads {
    /// Creates the reads of rows from the two parts of each row, its prompt's places and its own, of which it attends to the
    /// last `window`; `usize::MAX` is all.
    pub(crate) fn new(rows: &[[&Places; 2]], window: usize) -> Self {
        // The first token that a row attends to, in its prompt and in the rest.
        let first = |[prompt, own]: &[&Places; 2]| {
            let first = (prompt.len + own.len).saturating_sub(window);
            [first.min(prompt.len), first.saturating_sub(prompt.len)]
        };
        let share = |a: &[&Places; 2], b: &[&Places; 2]| a[0] == b[0] && first(a)[0] == first(b)[0];
        let groups = rows.chunk_by(share).map(|rows| CachedGroup {
            prompt: rows[0][0].spans_of(first(&rows[0])[0]..usize::MAX).collect(),
            own: rows.iter().map(|row| row[1].spans_of(first(row)[1]..usize::MAX).collect()).collect(),
        });
        Self { groups: groups.collect(), padded: OnceCell::new(), spans: OnceCell::new() }
    }

    /// Returns the places of each row, a range for each block.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = Range<usize>>> {
        self.groups.iter().flat_map(|group| group.own.iter().map(|own| group.prompt.iter().chain(own).cloned()))
    }

    fn spans(&self, device: &Device) -> Result<&Tensor> {
        if let Some(spans) = self.spans.get() {
            return Ok(spans);
        }
        let rows: Vec<Vec<Range<usize>>> = self.rows().map(Iterator::collect).collect();
        let most = rows.iter().map(Vec::len).max().unwrap_or(0);
        let pair = |span: &Range<usize>| [span.start as u32, span.len() as u32];
        let pairs = rows.iter().flat_map(|row| row.iter().map(pair).chain(std::iter::repeat([0, 0])).take(most));
        let spans = Tensor::from_vec(pairs.flatten().collect(), (rows.len(), most, 2), device)?;
        Ok(self.spans.get_or_init(|| spans))
    }

    fn padded(&self, like: &Tensor) -> Result<&Padded> {
        if let Some(padded) = self.padded.get() {
            return Ok(padded);
        }
        let lengths: Vec<usize> = self.rows().map(|row| row.map(|span| span.len()).sum()).collect();
        let (rows, longest) = (lengths.len(), lengths.into_iter().max().unwrap_or(0));
        let (mut places, mut mask) = (Vec::new(), Vec::new());
        for (row, spans) in self.rows().enumerate() {
            places.extend(spans.flatten().map(|place| place as u32));
            mask.resize(places.len(), 0f32);
            places.resize((row + 1) * longest, 0);
            mask.resize(places.len(), -1e30);
        }
        let mask = Tensor::from_vec(mask, (rows, 1, 1, longest), &Device::Cpu)?;
        let padded = Padded {
            places: Tensor::from_vec(places, rows * longest, like.device())?,
            mask: mask.to_dtype(like.dtype())?.to_device(like.device())?,
            longest,
        };
        Ok(self.padded.get_or_init(|| padded))
    }
}

/// The places that the rows of a pass are written to.
#[derive(Debug)]
pub(crate) struct Writes {
    places: Vec<usize>,
    /// The same for candle's scatter, made by the first layer: each place as often as a row has elements, (rows, kv heads ·
    /// dim).
    index: OnceCell<Tensor>,
    /// The same for the CUDA kernel, (rows,).
    rows: OnceCell<Tensor>,
}

impl Writes {
    /// Creates the writes of rows, given the place of each.
    pub(crate) fn new(places: Vec<usize>) -> Self {
        Self { places, index: OnceCell::new(), rows: OnceCell::new() }
    }

    fn rows(&self, device: &Device) -> Result<&Tensor> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = Tensor::new(self.places.iter().map(|place| *place as u32).collect::<Vec<_>>(), device)?;
        Ok(self.rows.get_or_init(|| rows))
    }

    fn index(&self, like: &Tensor) -> Result<&Tensor> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let (rows, width) = like.dims2()?;
        let index = self.places.iter().flat_map(|place| std::iter::repeat_n(*place as u32, width)).collect();
        let index = Tensor::from_vec::<_, u32>(index, (rows, width), like.device())?;
        Ok(self.index.get_or_init(|| index))
    }
}

/// The rows of a step as they are on a device, all `u32`.
#[derive(Debug)]
pub(crate) struct StepRows {
    /// The token of each row, (rows,), or the row that drew it in the step before; see [`cuda::embed`].
    pub(crate) tokens: Tensor,
    /// The tokens that the step before drew, (rows, 2).
    pub(crate) drawn: Tensor,
    /// Its position, (rows,).
    pub(crate) positions: Tensor,
    /// The place of its key and value, (rows,).
    pub(crate) places: Tensor,
    /// The places that it attends to, its own among them: the first place and the number of places of each range, (rows,
    /// ranges, 2). Ranges that are not used have no places.
    pub(crate) spans: Tensor,
}

/// The keys and values of one layer.
#[derive(Debug)]
pub(crate) struct Cache {
    /// (places, kv heads · dim).
    keys: Tensor,
    /// (places, kv heads · dim).
    values: Tensor,
}

impl Cache {
    /// Creates a cache of `blocks` blocks for keys and values of `heads`.
    pub(crate) fn new(blocks: usize, heads: Heads, dtype: DType, device: &Device) -> Result<Self> {
        // Memory that is zero is not touched, so on the CPU a block that is never written costs nothing.
        let zeros = || Tensor::zeros((blocks * BLOCK, heads.kv * heads.dim), dtype, device);
        Ok(Self { keys: zeros()?, values: zeros()? })
    }

    /// Writes keys and values, (rows, kv heads · dim).
    pub(crate) fn write(&self, writes: &Writes, k: &Tensor, v: &Tensor) -> Result<()> {
        let _time = profile::time("cache");
        match Path::of(Op::DecodingAttention, k) {
            Path::CpuKernel => {
                copy_rows(k, &self.keys, &writes.places)?;
                copy_rows(v, &self.values, &writes.places)
            }
            Path::CudaKernel => cuda::decoding::write(writes.rows(k.device())?, k, v, &self.keys, &self.values),
            Path::Fused | Path::Composed => {
                let index = writes.index(k)?;
                self.keys.scatter_set(index, &k.contiguous()?, 0)?;
                self.values.scatter_set(index, &v.contiguous()?, 0)
            }
        }
    }

    /// Rotates the queries and keys of `qkv`, writes the keys and values, and computes the attention of each query over the
    /// places of its row, with the kernels of a device. `angles` are those of all positions.
    pub(crate) fn attend_on_device(
        &self,
        heads: Heads,
        qkv: &Tensor,
        bias: Option<&Tensor>,
        angles: &Rotary,
        rows: &StepRows,
    ) -> Result<Tensor> {
        let StepRows { positions, places, spans, .. } = rows;
        let q = {
            let _time = profile::time("rotary");
            let (keys, values) = (&self.keys, &self.values);
            cuda::rotary::turn_and_write(heads, qkv, bias, angles.angles(), positions, places, keys, values)?
        };
        let _time = profile::time("attention");
        cuda::decoding::attend(heads, &q, &self.keys, &self.values, spans)
    }

    /// Computes the attention of one query for each row, `q` (rows, query heads · dim), over the places of the row.
    pub(crate) fn attend(&self, heads: Heads, q: &Tensor, reads: &Reads) -> Result<Tensor> {
        let _time = profile::time("attention");
        let path = Path::of(Op::DecodingAttention, q);
        if path == Path::CudaKernel && cuda::decoding::supports(heads) {
            return cuda::decoding::attend(heads, q, &self.keys, &self.values, reads.spans(q.device())?);
        }
        if path == Path::CpuKernel {
            let values = with_floats([q, &self.keys, &self.values], |[q, k, v]| {
                kernels::attend_cached(heads, q, k, v, &reads.groups)
            })?;
            return Tensor::from_vec(values, q.shape(), q.device());
        }
        let rows = q.dim(0)?;
        let Padded { places, mask, longest } = reads.padded(q)?;
        let gather = |pool: &Tensor| {
            let read = pool.index_select(places, 0)?.reshape((rows, *longest, heads.kv, heads.dim))?;
            read.transpose(1, 2)?.contiguous()
        };
        let q4 = q.reshape((rows, heads.kv, heads.repeats(), heads.dim))?;
        let scores = (q4.matmul(&gather(&self.keys)?.t()?)? * heads.scale)?;
        let weights = softmax(&scores.broadcast_add(mask)?)?;
        weights.matmul(&gather(&self.values)?)?.reshape(q.shape())
    }
}

/// Copies rows to their places in a pool. candle's scatter would look up an index for each element.
fn copy_rows(rows: &Tensor, pool: &Tensor, places: &[usize]) -> Result<()> {
    let width = rows.dim(1)?;
    with_floats([rows], |[rows]| {
        with_floats_mut(pool, |pool| {
            for (row, place) in rows.chunks_exact(width).zip(places) {
                pool[place * width..][..width].copy_from_slice(row);
            }
            Ok(())
        })
    })?
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::{super::twins::noise, *};

    fn heads() -> Heads {
        Heads::new(6, 2, 6)
    }

    /// Returns two sequences that share a prompt of a block and a half, one of them with tokens in two blocks of its own,
    /// and a third without a prompt.
    fn sequences() -> [[Places; 2]; 3] {
        let prompt = Places { blocks: vec![5, 1], len: BLOCK + 32 };
        let own = |blocks: &[u32], len| Places { blocks: blocks.to_vec(), len };
        [[prompt.clone(), own(&[0, 3], BLOCK + 1)], [prompt, own(&[4], 3)], [Places::default(), own(&[2], 7)]]
    }

    /// Returns a cache with a random key and value at each place of `sequences`.
    fn filled(sequences: &[[Places; 2]], dtype: DType) -> Cache {
        let tensor = |shape: &[usize], seed| noise(shape, seed).to_dtype(dtype).unwrap();
        let cache = Cache::new(6, heads(), dtype, &Device::Cpu).unwrap();
        for (seed, places) in sequences.iter().flatten().enumerate() {
            let all: Vec<usize> = (0..places.len).map(|index| places.place(index)).collect();
            // The prompt that two sequences share is written twice, and the second time is the one that counts.
            let [k, v] = [1, 2].map(|kind| tensor(&[all.len(), 12], 10 * kind + seed as u64));
            cache.write(&Writes::new(all), &k, &v).unwrap();
        }
        cache
    }

    fn attended(sequences: &[[Places; 2]], window: usize, cache: &Cache, q: &Tensor) -> Vec<Vec<f64>> {
        let rows: Vec<[&Places; 2]> = sequences.iter().map(|[prompt, own]| [prompt, own]).collect();
        let out = cache.attend(heads(), q, &Reads::new(&rows, window)).unwrap();
        out.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
    }

    /// Windows of all tokens, of some in prompts, and of some after them.
    const WINDOWS: [usize; 4] = [usize::MAX, 100, BLOCK + 1, 2];

    #[test]
    fn kernels_and_twin_agree() {
        let (sequences, q) = (sequences(), noise(&[3, 36], 5));
        let mut kernels = vec![Path::CpuKernel];
        if cuda::can_emulate() {
            kernels.push(Path::CudaKernel);
        }
        for window in WINDOWS {
            let run = |dtype| attended(&sequences, window, &filled(&sequences, dtype), &q.to_dtype(dtype).unwrap());
            let twin = run(DType::F64);
            for path in &kernels {
                for (kernel, twin) in path.force(|| run(DType::F32)).iter().flatten().zip(twin.iter().flatten()) {
                    assert!((kernel - twin).abs() < 1e-6, "{path:?}, {window}: {kernel} is not {twin}");
                }
            }
        }
    }

    #[test]
    fn a_window_is_the_end_of_a_sequence() {
        for window in WINDOWS {
            for [prompt, own] in &sequences() {
                let reads = Reads::new(&[[prompt, own]], window);
                let got: Vec<usize> = reads.rows().flatten().flatten().collect();
                let all = [prompt, own].into_iter().flat_map(|part| (0..part.len).map(|index| part.place(index)));
                let all: Vec<usize> = all.collect();
                assert_eq!(got, all[all.len().saturating_sub(window)..]);
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_beside_others() {
        let (sequences, q) = (sequences(), noise(&[3, 36], 5));
        let cache = filled(&sequences, DType::F32);
        for window in WINDOWS {
            let together = attended(&sequences, window, &cache, &q);
            for (index, row) in together.iter().enumerate() {
                let alone = attended(&sequences[index..=index], window, &cache, &q.narrow(0, index, 1).unwrap());
                assert_eq!(&alone[0], row);
            }
        }
    }

    #[test]
    fn the_places_of_a_sequence_are_those_of_its_blocks() {
        let places = Places { blocks: vec![7, 2], len: BLOCK + 3 };
        let all: Vec<usize> = places.spans().flatten().collect();
        assert_eq!(all, (0..places.len).map(|index| places.place(index)).collect::<Vec<_>>());
        assert_eq!(all[BLOCK - 1..], [8 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 2 * BLOCK + 2]);
        assert_eq!(Places::default().spans().count(), 0);
        assert_eq!([0, 1, BLOCK, BLOCK + 1].map(Places::blocks_for), [0, 1, 1, 2]);
    }
}
