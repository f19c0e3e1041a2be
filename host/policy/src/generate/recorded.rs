//! Decoding steps on a device: from the last token of each row to the next one, without the CPU between.
//!
//! A step is recorded once for each number of rows and then launched as a whole; see [`crate::cuda::graph`]. Numbers of rows are
//! rounded up to a few sizes, and rows that are not used compute a token at a spare place of the cache.
//!
//! A step can begin before the tokens of the one before are read. It finds them on the device, which then has work while the
//! CPU reads them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use candle_core::{DType, Device, Tensor};

use crate::{
    cuda::{self, graph::Graph, transfer::Transfer},
    error::Result,
    generate::{
        config::SampleConfig,
        draw::{Draw, Drawn, read_drawn, seen_table, uniform_bits},
        row::{PromptRows, Row, RowToken},
    },
    model::{decoding::DecodingModel, rope::Angles},
    ops::{BLOCK, Cache, Places, StepRows},
    profile,
};

/// The steps of a model, by the number of rows.
#[derive(Debug)]
pub(crate) struct RecordedSteps {
    device: Device,
    /// The angles of all positions.
    angles: Angles,
    /// The place that rows without a sequence write and read.
    spare: usize,
    /// Ranges of places of a row.
    spans: usize,
    /// Tokens of a row that the repetition penalty can apply to; 0 without one.
    seen: usize,
    /// The tokens that the last step drew and the bits of their log-probabilities, (rows of the largest step, 2).
    drawn: Tensor,
    steps: BTreeMap<usize, Step>,
    kernels: Kernels,
    /// The copies of a step. Two steps take turns, as at most two have begun and are not read.
    copies: [Copies; 2],
    /// The numbers of rows of the steps that have begun and are not read.
    begun: VecDeque<usize>,
    /// Number of steps that were read.
    read: usize,
}

/// The copies of a step from and to the CPU.
#[derive(Debug)]
struct Copies {
    inputs: Transfer,
    drawn: Transfer,
}

/// The step of some number of rows, with the memory that it reads and writes.
#[derive(Debug)]
struct Step {
    /// All numbers that come from the CPU, of which the tensors below are parts.
    inputs: Tensor,
    rows: StepRows,
    /// Bits of uniform numbers, (rows,).
    uniforms: Tensor,
    /// Tokens that the penalty applies to, (rows, tokens).
    seen: Option<Tensor>,
    graph: Option<Graph>,
}

impl RecordedSteps {
    /// Blocks of the cache besides those of sequences.
    pub(crate) const SPARE_BLOCKS: usize = 1;

    /// Prepares the steps, of at most `rows` rows, of a model whose cache has `blocks` blocks besides the spare one.
    pub(crate) fn new(
        decoding: &DecodingModel,
        blocks: usize,
        rows: usize,
        longest_prompt: usize,
        config: &SampleConfig,
    ) -> Result<Self> {
        let (longest, rows) = (longest_prompt + config.max_new_tokens, round_up(rows));
        let model = decoding.transformer();
        let device = model.device();
        let spans = Places::blocks_for(longest_prompt) + Places::blocks_for(config.max_new_tokens);
        let seen = if config.repetition_penalty == 1.0 { 0 } else { longest };
        let copies = || -> Result<Copies> {
            let inputs = Transfer::new(rows * row_width(spans, seen), device)?;
            Ok(Copies { inputs, drawn: Transfer::new(2 * rows, device)? })
        };
        Ok(Self {
            device: device.clone(),
            angles: model.angles(&(0..longest).collect::<Vec<_>>())?,
            spare: blocks * BLOCK,
            spans,
            seen,
            drawn: Tensor::zeros((rows, 2), DType::U32, device)?,
            steps: BTreeMap::new(),
            kernels: Kernels::new(decoding, seen > 0),
            copies: [copies()?, copies()?],
            begun: VecDeque::new(),
            read: 0,
        })
    }

    /// Computes prompts, whose tokens are the rows of one step that is not recorded. Returns their last hidden states,
    /// (rows, hidden).
    pub(crate) fn prompts(
        &self,
        model: &DecodingModel,
        caches: &[Cache],
        prompts: &[PromptRows<'_>],
    ) -> Result<Tensor> {
        let lengths = || prompts.iter().map(|prompt| prompt.tokens.len());
        let (count, most) = (lengths().sum::<usize>(), Places::blocks_for(lengths().max().unwrap_or(0)));
        let (mut places, mut spans) = (Vec::with_capacity(count), Vec::with_capacity(2 * count * most));
        for prompt in prompts {
            for index in 0..prompt.tokens.len() {
                places.push(prompt.places.place(index) as u32);
                let attended = prompt.places.spans_of(0..index + 1);
                spans.extend(attended.flat_map(|span| [span.start as u32, span.len() as u32]));
                spans.resize(2 * places.len() * most, 0);
            }
        }
        let tokens: Vec<u32> = prompts.iter().flat_map(|prompt| prompt.tokens).copied().collect();
        let positions: Vec<u32> = lengths().flat_map(|length| 0..length as u32).collect();
        let device = &self.device;
        let rows = StepRows {
            tokens: Tensor::new(tokens, device)?,
            drawn: self.drawn.clone(),
            positions: Tensor::new(positions, device)?,
            places: Tensor::new(places, device)?,
            spans: Tensor::from_vec(spans, (count, most, 2), device)?,
        };
        Ok(model.step_states(caches, &self.angles, &rows)?)
    }

    /// Begins to compute a token of each row and to draw the next one. At most one step may have begun before.
    pub(crate) fn begin(
        &mut self,
        model: &DecodingModel,
        caches: &[Cache],
        rows: &[Row<'_>],
        draws: &[Draw<'_>],
        config: &SampleConfig,
    ) -> Result<()> {
        let size = round_up(rows.len());
        let numbers = self.numbers(rows, draws, size);
        if !self.steps.contains_key(&size) {
            let step = self.allocate(size)?;
            self.steps.insert(size, step);
        }
        let Some(step) = self.steps.get_mut(&size) else { return Ok(()) };
        let copies = &mut self.copies[(self.read + self.begun.len()) % 2];
        copies.inputs.send(&numbers, &step.inputs)?;

        let (angles, device, drawn) = (&self.angles, &self.device, &self.drawn);
        let run = |step: &Step| {
            let logits = model.step(caches, angles, &step.rows)?;
            let _time = profile::time("draw");
            cuda::draw::draw(&logits, &step.uniforms, step.seen.as_ref(), config.filters(), drawn)
        };
        // A profile waits after each operation, which a record cannot.
        if step.graph.is_none() && self.kernels.are_loaded(size) && !profile::is_recording() {
            step.graph = Graph::record(device, || run(step))?;
        }
        match &step.graph {
            Some(graph) if !profile::is_recording() => graph.launch()?,
            _ => {
                run(step)?;
                self.kernels.ran(size);
            }
        }
        copies.drawn.fetch(drawn, 2 * rows.len())?;
        self.begun.push_back(rows.len());
        Ok(())
    }

    /// Waits for the oldest step that has begun, and returns the tokens that it drew; none if no step has begun.
    pub(crate) fn read(&mut self) -> Result<Vec<Option<Drawn>>> {
        let Some(rows) = self.begun.pop_front() else { return Ok(Vec::new()) };
        let drawn = self.copies[self.read % 2].drawn.wait()?;
        self.read += 1;
        Ok(read_drawn(&drawn[..2 * rows]))
    }

    /// Returns all numbers of a step of `size` rows, kind by kind, as [`Self::allocate`] has them.
    fn numbers(&self, rows: &[Row<'_>], draws: &[Draw<'_>], size: usize) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(size * row_width(self.spans, self.seen));
        numbers.extend(rows.iter().map(|row| match row.token {
            RowToken::Known(token) => token,
            RowToken::Drawn(row) => cuda::embed::DRAWN | row as u32,
        }));
        numbers.resize(size, 0);
        numbers.extend(rows.iter().map(|row| row.position() as u32));
        numbers.resize(2 * size, 0);
        numbers.extend(rows.iter().map(|row| row.place() as u32));
        numbers.resize(3 * size, self.spare as u32);
        numbers.extend(uniform_bits(draws));
        numbers.resize(4 * size, 0);
        for row in 0..size {
            let end = numbers.len() + 2 * self.spans;
            match rows.get(row) {
                Some(row) => {
                    let spans = row.prompt.spans().chain(row.own.spans());
                    numbers.extend(spans.flat_map(|span| [span.start as u32, span.len() as u32]));
                }
                None => numbers.extend([self.spare as u32, 1]),
            }
            numbers.resize(end, 0);
        }
        if self.seen > 0 {
            numbers.extend(seen_table(draws, self.seen));
        }
        numbers.resize(size * row_width(self.spans, self.seen), cuda::draw::NONE);
        numbers
    }

    fn allocate(&self, size: usize) -> Result<Step> {
        let inputs = Tensor::zeros(size * row_width(self.spans, self.seen), DType::U32, &self.device)?;
        let mut taken = 0;
        let mut part = |count: usize| {
            taken += size * count;
            inputs.narrow(0, taken - size * count, size * count)
        };
        let (tokens, positions, places, uniforms) = (part(1)?, part(1)?, part(1)?, part(1)?);
        let spans = part(2 * self.spans)?.reshape((size, self.spans, 2))?;
        let seen = if self.seen > 0 { Some(part(self.seen)?.reshape((size, self.seen))?) } else { None };
        let rows = StepRows { tokens, drawn: self.drawn.clone(), positions, places, spans };
        Ok(Step { inputs, rows, uniforms, seen, graph: None })
    }
}

/// The steps that ran in this process. A step's first run loads kernels, which a record cannot, so it is not recorded.
static RAN: Mutex<BTreeSet<(String, usize)>> = Mutex::new(BTreeSet::new());

/// The kernels of a model's steps, which depend on the device and on the shapes of all products.
#[derive(Debug)]
struct Kernels {
    model: String,
}

impl Kernels {
    fn new(model: &DecodingModel, penalised: bool) -> Self {
        Self { model: format!("{} {penalised}", model.shapes()) }
    }

    /// Returns true if a step of `size` rows ran.
    fn are_loaded(&self, size: usize) -> bool {
        RAN.lock().unwrap_or_else(PoisonError::into_inner).contains(&(self.model.clone(), size))
    }

    /// Notes that a step of `size` rows ran.
    fn ran(&self, size: usize) {
        RAN.lock().unwrap_or_else(PoisonError::into_inner).insert((self.model.clone(), size));
    }
}

/// Returns the numbers of a row: token, position, place, uniform number, spans and seen tokens.
fn row_width(spans: usize, seen: usize) -> usize {
    4 + 2 * spans + seen
}

/// Returns the size of the step that serves this many rows: 1, 2, 4, 8 and so on with three sizes between from 16 on, so
/// that at most a fifth of the rows is not used.
fn round_up(rows: usize) -> usize {
    let quarter = (rows.next_power_of_two() / 8).max(1);
    if rows < 16 { rows.next_power_of_two() } else { rows.next_multiple_of(quarter) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Policy,
        generate::{completion::Request, sample::sample, seed::Seed},
        model::{
            config::{ModelConfig, SlidingWindow, Variant},
            init::random,
        },
        ops::path::Path,
        twins,
    };

    #[test]
    fn sizes_are_few_and_near() {
        let sizes: Vec<usize> = (1..=300).map(round_up).collect();
        assert!(
            sizes
                .iter()
                .zip(1..)
                .all(|(size, rows)| *size >= rows && (if rows < 16 { *size < 2 * rows } else { size * 4 <= rows * 5 }))
        );
        let mut distinct = sizes.clone();
        distinct.dedup();
        assert_eq!(
            distinct,
            [1, 2, 4, 8, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
        );
    }

    /// Models with biases and grouped queries, and with all that Gemma 3 adds, whose sequences enter and leave a batch that is
    /// too small for all.
    #[test]
    fn completions_are_those_of_the_cpu() {
        if !cuda::can_emulate() {
            return;
        }
        let device = Device::Cpu;
        let policy = |config: ModelConfig| {
            let config = ModelConfig { context_length: 128, ..config };
            Policy { transformer: random(&config, 3, &device).unwrap(), config, ..Policy::tiny(1, &device).unwrap() }
        };
        let window = SlidingWindow { size: 50, layers: vec![1], rope_theta: Some(100.0) };
        let gemma3 = twins::gemma3();
        let gemma3 = ModelConfig { variant: Variant { window: Some(window), ..gemma3.variant.clone() }, ..gemma3 };
        let policies = [policy(twins::config()), policy(gemma3)];
        // The prompt of 62 tokens is too long for the kernels of a step.
        let prompts: Vec<Vec<u32>> = [3, 62, 1].iter().map(|n| (0..*n).map(|i| i * 5 % 40).collect()).collect();
        let requests: Vec<Request<'_>> = (0..7)
            .map(|i| Request { prompt: &prompts[i / 3], seed: Seed { run: 1, step: 2, sample: i as u64 } })
            .collect();
        for (policy, penalty) in [(&policies[0], 1.0), (&policies[0], 1.4), (&policies[1], 1.0)] {
            let settings = SampleConfig {
                max_new_tokens: 5,
                max_batch: 5,
                repetition_penalty: penalty,
                // Some end while their next token is computed.
                stop: ["1", "4", "7", "a", "e"].map(str::to_owned).to_vec(),
                ..SampleConfig::default()
            };
            let run = || sample(policy, &requests, &settings).unwrap();
            let model = || DecodingModel::new(policy.transformer(), settings.weights).unwrap();
            assert!(Path::CudaKernel.force(model).has_step());
            let (got, want) = (Path::CudaKernel.force(run), run());
            assert!(want.iter().any(|completion| completion.tokens.len() < 5) && want.iter().any(|c| !c.finished));
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(got.tokens, want.tokens);
                assert!(got.log_probs.iter().zip(&want.log_probs).all(|(a, b)| (a - b).abs() < 1e-4));
            }
        }
    }
}
