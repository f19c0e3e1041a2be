//! Continuous batching: a fixed number of slots, which sequences enter and leave one by one.
//!
//! A prompt is computed when its first completion enters, and all of its completions read the same blocks of the cache. A
//! sequence takes a block when it needs one. If none is free, the sequence that entered last gives its blocks back and is
//! drawn again later. It will be the same, because its random numbers and its logits depend on nothing but itself.
//!
//! Where it pays, a step begins before the tokens of the one before are read, as if no sequence ended with them. A token that
//! was drawn for a sequence that did end is dropped.

use std::collections::{HashMap, HashSet, VecDeque};

use candle_core::Tensor;
use rayon::prelude::*;

use crate::{
    error::{Error, Result},
    generate::{
        blocks::Blocks,
        completion::{Completion, Request},
        config::SampleConfig,
        decode::Decoder,
        draw::{Draw, Drawn, draw_rows},
        memory::{block_bytes, cache_blocks},
        row::{PromptRows, Row, RowToken},
        stop::StopTexts,
    },
    model::decoding::DecodingModel,
    ops::Places,
    policy::Policy,
};

/// The state of a batch of requests.
#[derive(Debug)]
pub(crate) struct Scheduler<'a> {
    policy: &'a Policy,
    requests: &'a [Request<'a>],
    config: &'a SampleConfig,
    stop: StopTexts<'a>,
    decoder: Decoder<'a>,
    blocks: Blocks,
    /// The distinct prompts, in the order of their first request.
    prompts: Vec<Prompt<'a>>,
    /// The prompt of each request.
    prompt_of: Vec<usize>,
    /// The requests that have no slot, prompt by prompt.
    waiting: VecDeque<usize>,
    /// The sequences in the slots, in the order in which they entered.
    active: Vec<Active>,
    /// The requests of the rows of each step that has begun and is not read: at most two steps.
    begun: VecDeque<Vec<usize>>,
    /// True from the time that a sequence gave its blocks back until one ends: to let it enter again at once would be in
    /// vain.
    full: bool,
    /// The completions that ended, by request.
    completions: Vec<Option<Completion>>,
}

/// A prompt of one or more requests.
#[derive(Debug)]
struct Prompt<'a> {
    tokens: &'a [u32],
    /// The places in the cache, while the prompt is there.
    places: Option<Places>,
    /// The logits of the first token of a completion, (1, vocabulary), while the prompt is in the cache and a request waits.
    logits: Option<Tensor>,
    /// Number of its requests that wait.
    waiting: usize,
    /// Number of its sequences in slots.
    active: usize,
}

/// A sequence that is drawn.
#[derive(Debug)]
struct Active {
    request: usize,
    /// The places of the tokens that were drawn and computed.
    own: Places,
    tokens: Vec<u32>,
    log_probs: Vec<f32>,
    /// The tokens that the repetition penalty applies to; none without a penalty.
    seen: HashSet<u32>,
    /// The row of the last step that has begun in which the next token is drawn, while it is not read.
    drawn_in: Option<usize>,
    /// True once an end-of-sequence token or a stop text was drawn.
    finished: bool,
    /// True once the sequence is finished or has `max_new_tokens` tokens.
    ended: bool,
}

impl<'a> Scheduler<'a> {
    /// Creates the state before the first request has entered. `model` is made of the policy's.
    ///
    /// # Errors
    /// [`Error::Setting`] if the cache may not be large enough for one request.
    pub(crate) fn new(
        policy: &'a Policy,
        model: &'a DecodingModel,
        requests: &'a [Request<'a>],
        config: &'a SampleConfig,
    ) -> Result<Self> {
        let mut prompts: Vec<Prompt<'_>> = Vec::new();
        let mut known = HashMap::new();
        let prompt_of = requests.iter().map(|request| {
            let prompt = *known.entry(request.prompt).or_insert_with(|| {
                prompts.push(Prompt { tokens: request.prompt, places: None, logits: None, waiting: 0, active: 0 });
                prompts.len() - 1
            });
            prompts[prompt].waiting += 1;
            prompt
        });
        let prompt_of: Vec<usize> = prompt_of.collect();
        let mut waiting: Vec<usize> = (0..requests.len()).collect();
        waiting.sort_by_key(|request| prompt_of[*request]);

        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.tokens.len()).collect();
        let block_bytes = block_bytes(policy.config(), model.transformer().dtype().size_in_bytes());
        let blocks = cache_blocks(block_bytes, config, &lengths, requests.len())?;
        Ok(Self {
            policy,
            requests,
            config,
            stop: StopTexts::new(policy.tokenizer(), &config.stop),
            decoder: Decoder::new(
                model,
                blocks,
                config.max_batch.min(requests.len()),
                lengths.iter().copied().max().unwrap_or(0),
                config,
            )?,
            blocks: Blocks::new(blocks),
            prompts,
            prompt_of,
            waiting: waiting.into(),
            active: Vec::new(),
            begun: VecDeque::new(),
            full: false,
            completions: requests.iter().map(|_| None).collect(),
        })
    }

    /// Serves all requests and returns their completions, in the order of the requests.
    pub(crate) fn run(&mut self) -> Result<Vec<Completion>> {
        while self.advance()? {}
        debug_assert_eq!(self.blocks.free(), self.blocks.total(), "every block was given back");
        Ok(self.completions.iter_mut().filter_map(Option::take).collect())
    }

    /// Lets waiting requests enter, and draws a token for each sequence. Returns false once all requests are served.
    fn advance(&mut self) -> Result<bool> {
        self.admit()?;
        if self.active.is_empty() {
            return Ok(false);
        }
        if self.begun.is_empty() {
            self.grow();
            self.begin()?;
        }
        if self.decoder.runs_ahead && self.grow_ahead() {
            self.begin()?;
        }
        self.read()?;
        Ok(true)
    }

    /// Fills the slots with waiting requests, and draws the first token of each.
    fn admit(&mut self) -> Result<()> {
        loop {
            let first = self.active.len();
            self.enter();
            if self.active.len() == first {
                return Ok(());
            }
            self.compute_prompts(first)?;
            let (mut distinct, mut rows) = (Vec::new(), Vec::<u32>::new());
            for sequence in &self.active[first..] {
                let prompt = self.prompt_of[sequence.request];
                if distinct.last() != Some(&prompt) {
                    distinct.push(prompt);
                }
                rows.push(distinct.len() as u32 - 1);
            }
            let logits: Vec<_> = distinct.iter().filter_map(|prompt| self.prompts[*prompt].logits.clone()).collect();
            let logits = Tensor::cat(&logits, 0)?;
            let logits = logits.index_select(&Tensor::new(rows, logits.device())?, 0)?;
            for prompt in self.prompts.iter_mut().filter(|prompt| prompt.waiting == 0) {
                prompt.logits = None;
            }
            let entered = &self.active[first..];
            let draws: Vec<Draw<'_>> = entered.iter().map(|sequence| sequence.draw(self.requests)).collect();
            let drawn = draw_rows(&logits, &draws, self.config)?;
            self.accept(entered.iter().map(|sequence| sequence.request).zip(drawn).collect())?;
        }
    }

    /// Gives slots to waiting requests while there are slots, and blocks for their prompts and their first tokens.
    fn enter(&mut self) {
        // A completion of one token computes none.
        let own = Places::blocks_for(self.config.max_new_tokens - 1).min(1);
        let mut reserved = 0;
        while !self.full && self.active.len() < self.config.max_batch {
            let Some(&request) = self.waiting.front() else { break };
            let prompt = self.prompt_of[request];
            if !self.place_prompt(prompt, reserved + own) {
                break;
            }
            reserved += own;
            self.waiting.pop_front();
            self.prompts[prompt].waiting -= 1;
            self.prompts[prompt].active += 1;
            let penalised = self.config.repetition_penalty != 1.0;
            self.active.push(Active {
                request,
                own: Places::default(),
                tokens: Vec::new(),
                log_probs: Vec::new(),
                seen: if penalised { self.prompts[prompt].tokens.iter().copied().collect() } else { HashSet::new() },
                drawn_in: None,
                finished: false,
                ended: false,
            });
        }
    }

    /// Gives a prompt its places, unless it has them. Returns false if fewer than `spare` blocks would be left.
    fn place_prompt(&mut self, prompt: usize, spare: usize) -> bool {
        let tokens = self.prompts[prompt].tokens.len();
        let needed = if self.prompts[prompt].places.is_some() { 0 } else { Places::blocks_for(tokens) };
        if self.blocks.free() < needed + spare {
            self.forget_idle_prompts(Some(prompt));
        }
        if self.blocks.free() < needed + spare {
            return false;
        }
        let mut places = Places::default();
        if needed > 0 && self.blocks.extend(&mut places, tokens) {
            self.prompts[prompt].places = Some(places);
        }
        true
    }

    /// Frees the blocks of prompts that no sequence in a slot reads, except for one. Returns false if there are none.
    fn forget_idle_prompts(&mut self, except: Option<usize>) -> bool {
        let mut any = false;
        for (index, prompt) in self.prompts.iter_mut().enumerate() {
            if prompt.active == 0
                && Some(index) != except
                && let Some(places) = prompt.places.take()
            {
                self.blocks.release(places);
                prompt.logits = None;
                any = true;
            }
        }
        any
    }

    /// Computes the prompts of the sequences from `first` on, as far as they are not in the cache.
    fn compute_prompts(&mut self, first: usize) -> Result<()> {
        let mut missing: Vec<usize> = Vec::new();
        for sequence in &self.active[first..] {
            let prompt = self.prompt_of[sequence.request];
            if self.prompts[prompt].logits.is_none() && missing.last() != Some(&prompt) {
                missing.push(prompt);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let rows = missing.iter().filter_map(|&prompt| {
            let Prompt { tokens, places, .. } = &self.prompts[prompt];
            Some(PromptRows { tokens, places: places.as_ref()? })
        });
        let logits = self.decoder.prompts(&rows.collect::<Vec<_>>())?;
        for (row, prompt) in missing.into_iter().enumerate() {
            self.prompts[prompt].logits = Some(logits.narrow(0, row, 1)?);
        }
        Ok(())
    }

    /// Begins a step: to compute the last token of each sequence that goes on, and to draw the next.
    fn begin(&mut self) -> Result<()> {
        let (mut rows, mut draws, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in self.active.iter().filter(|sequence| sequence.goes_on(self.config)) {
            let token = match (sequence.drawn_in, sequence.tokens.last()) {
                (Some(row), _) => RowToken::Drawn(row),
                (None, Some(token)) => RowToken::Known(*token),
                (None, None) => continue,
            };
            let Some(prompt) = self.prompts[self.prompt_of[sequence.request]].places.as_ref() else { continue };
            rows.push(Row { token, prompt, own: &sequence.own });
            draws.push(sequence.draw(self.requests));
            requests.push(sequence.request);
        }
        self.decoder.begin(&rows, &draws)?;
        let rows: HashMap<usize, usize> = requests.iter().copied().zip(0..).collect();
        for sequence in &mut self.active {
            sequence.drawn_in = rows.get(&sequence.request).copied().or(sequence.drawn_in);
        }
        self.begun.push_back(requests);
        Ok(())
    }

    /// Reads the tokens of the oldest step that has begun.
    fn read(&mut self) -> Result<()> {
        let requests = self.begun.pop_front().unwrap_or_default();
        if self.begun.is_empty() {
            self.active.iter_mut().for_each(|sequence| sequence.drawn_in = None);
        }
        let drawn = self.decoder.read()?;
        self.accept(requests.into_iter().zip(drawn).collect())
    }

    /// Gives each sequence that goes on a place for the token that is drawn for it. Returns false, and gives none, if no
    /// sequence goes on or there are too few free blocks.
    fn grow_ahead(&mut self) -> bool {
        let config = self.config;
        let going_on = || self.active.iter().filter(|sequence| sequence.goes_on(config));
        let missing = |own: &Places| Places::blocks_for(own.len + 1) - own.blocks.len();
        let missing: usize = going_on().map(|sequence| missing(&sequence.own)).sum();
        if going_on().next().is_none() || missing > self.blocks.free() {
            return false;
        }
        let (blocks, active) = (&mut self.blocks, &mut self.active);
        active
            .iter_mut()
            .filter(|sequence| sequence.goes_on(config))
            .all(|sequence| blocks.extend(&mut sequence.own, 1))
    }

    /// Gives each sequence a place for its last token. If there is no block for it, the sequence that entered last leaves.
    fn grow(&mut self) {
        let mut index = 0;
        while index < self.active.len() {
            if self.blocks.extend(&mut self.active[index].own, 1) {
                index += 1;
            } else if !self.forget_idle_prompts(None)
                && let Some(last) = self.active.pop()
            {
                self.blocks.release(last.own);
                let prompt = &mut self.prompts[self.prompt_of[last.request]];
                prompt.active -= 1;
                prompt.waiting += 1;
                self.waiting.push_front(last.request);
                self.full = true;
            }
        }
    }

    /// Adds the tokens that were drawn for requests to their sequences, and ends those that are complete. A sequence that has
    /// ended gets none.
    fn accept(&mut self, drawn: HashMap<usize, Option<Drawn>>) -> Result<()> {
        for sequence in &mut self.active {
            let Some(drawn) = drawn.get(&sequence.request) else { continue };
            let drawn = drawn.ok_or(Error::NonFiniteLogits { index: sequence.request })?;
            sequence.tokens.push(drawn.token);
            sequence.log_probs.push(drawn.log_prob);
            if self.config.repetition_penalty != 1.0 {
                sequence.seen.insert(drawn.token);
            }
            sequence.finished =
                self.policy.eos_tokens().contains(&drawn.token) || self.stop.completed_by_last(&sequence.tokens)?;
            sequence.ended = sequence.finished || sequence.tokens.len() == self.config.max_new_tokens;
        }
        let (ended, active): (Vec<Active>, Vec<Active>) =
            std::mem::take(&mut self.active).into_iter().partition(|sequence| sequence.ended);
        self.active = active;
        let texts = ended.par_iter().map(|sequence| self.policy.decode(&sequence.tokens));
        let texts = texts.collect::<Result<Vec<_>>>()?;
        ended.into_iter().zip(texts).for_each(|(sequence, text)| self.end(sequence, text));
        Ok(())
    }

    /// Keeps a completion, and frees the blocks that nobody reads any more.
    fn end(&mut self, sequence: Active, text: String) {
        self.full = false;
        self.blocks.release(sequence.own);
        let prompt = &mut self.prompts[self.prompt_of[sequence.request]];
        prompt.active -= 1;
        if prompt.active + prompt.waiting == 0
            && let Some(places) = prompt.places.take()
        {
            self.blocks.release(places);
        }
        self.completions[sequence.request] = Some(Completion {
            text: self.stop.cut(text),
            tokens: sequence.tokens,
            log_probs: sequence.log_probs,
            finished: sequence.finished,
        });
    }
}

impl Active {
    /// Returns true unless the token that is drawn for the sequence, if there is one, will be its last for its length.
    fn goes_on(&self, config: &SampleConfig) -> bool {
        self.length() < config.max_new_tokens
    }

    /// Returns the number of tokens, with the one that is drawn and not read.
    fn length(&self) -> usize {
        self.tokens.len() + usize::from(self.drawn_in.is_some())
    }

    /// Returns the data of the next draw.
    fn draw(&self, requests: &[Request<'_>]) -> Draw<'_> {
        Draw { uniform: requests[self.request].seed.uniform(self.length()), seen: &self.seen }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{
        generate::{
            memory::{SampleLoad, SampleMemory},
            seed::Seed,
        },
        model::{config::ModelConfig, init::random},
    };

    /// Returns the completions, the largest number of blocks in use and the size of the cache.
    fn run(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> (Vec<Completion>, usize, usize) {
        run_ahead(policy, requests, config, false)
    }

    fn run_ahead(
        policy: &Policy,
        requests: &[Request<'_>],
        config: &SampleConfig,
        ahead: bool,
    ) -> (Vec<Completion>, usize, usize) {
        let model = DecodingModel::new(policy.transformer(), config.weights).unwrap();
        let mut scheduler = Scheduler::new(policy, &model, requests, config).unwrap();
        scheduler.decoder.runs_ahead = ahead;
        let (total, mut peak) = (scheduler.blocks.total(), 0);
        while scheduler.advance().unwrap() {
            peak = peak.max(total - scheduler.blocks.free());
        }
        assert_eq!(scheduler.blocks.free(), total, "every block was given back");
        let completions = scheduler.run().unwrap();
        assert_eq!(completions.len(), requests.len());
        (completions, peak, total)
    }

    fn requests(prompts: &[Vec<u32>], group: usize) -> Vec<Request<'_>> {
        let prompts = prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, group));
        prompts.zip(0..).map(|(prompt, sample)| Request { prompt, seed: Seed { run: 1, step: 2, sample } }).collect()
    }

    #[test]
    fn completions_do_not_depend_on_slots_and_memory() {
        let policy = Policy::tiny(7, &Device::Cpu).unwrap();
        let prompts: Vec<Vec<u32>> = [70, 3, 130].map(|len| (0..len).map(|i| 3 + i * 7 % 90).collect()).to_vec();
        let requests = requests(&prompts, 5);
        let config = SampleConfig { max_new_tokens: 200, ..SampleConfig::default() };
        let (wanted, peak, total) = run(&policy, &requests, &config);
        // Six blocks of prompts, and four for each of 15 completions.
        assert!(total == 66 && peak <= total);
        let load = SampleLoad { prompts: 3, longest_prompt: 130, group: 5 };
        let told = SampleMemory::new(&policy, None, &config, load).unwrap();
        assert!(total as u64 * block_bytes(policy.config(), 4) <= told.cache);
        assert!(wanted.iter().any(|c| c.tokens.len() == 200) && wanted.iter().any(|c| c.tokens.len() < 64));
        for (max_batch, ahead) in [(1, false), (2, true), (4, false), (4, true), (15, true)] {
            let config = SampleConfig { max_batch, ..config.clone() };
            assert_eq!(run_ahead(&policy, &requests, &config, ahead).0, wanted);
        }
        // A MiB holds ten blocks, so some sequences give theirs back.
        let small = SampleConfig { cache_mib: 1, ..config };
        for ahead in [false, true] {
            let (drawn, peak, total) = run_ahead(&policy, &requests, &small, ahead);
            assert_eq!((&drawn, peak, total), (&wanted, 10, 10));
        }
    }

    #[test]
    fn a_completion_has_the_same_bits_alone_and_in_a_batch_of_64() {
        // Wide enough that matrix products are split over threads and over blocks of the inner dimension.
        let tiny = Policy::tiny(7, &Device::Cpu).unwrap();
        let config = ModelConfig {
            hidden_size: 320,
            intermediate_size: 1100,
            kv_heads: 2,
            head_dim: 80,
            ..tiny.config().clone()
        };
        let policy = Policy { transformer: random(&config, 3, &Device::Cpu).unwrap(), config, ..tiny };
        let prompts: Vec<Vec<u32>> =
            [1, 3, 20, 40, 64, 65, 100, 150].map(|len| (0..len).map(|i| 3 + i * 5 % 90).collect()).to_vec();
        let requests = requests(&prompts, 8);
        let config = SampleConfig { max_new_tokens: 12, ..SampleConfig::default() };
        let together = run(&policy, &requests, &config).0;
        for (request, completion) in requests.iter().zip(&together) {
            let alone = run(&policy, std::slice::from_ref(request), &config).0;
            assert_eq!(&alone[0], completion, "a prompt of {} tokens", request.prompt.len());
        }
    }

    #[test]
    fn a_prompt_of_requests_that_are_not_neighbours_is_computed_once() {
        let policy = Policy::tiny(7, &Device::Cpu).unwrap();
        let prompts = [vec![5; 60], vec![6; 60]];
        let mut mixed = requests(&prompts, 3);
        mixed.swap(1, 4);
        let config = SampleConfig { max_new_tokens: 2, max_batch: 2, ..SampleConfig::default() };
        let (drawn, peak, _) = run(&policy, &mixed, &config);
        // Two prompts while a group ends, and a block for each of two sequences.
        assert!(peak <= 4);
        mixed.swap(1, 4);
        let mut in_order = run(&policy, &mixed, &config).0;
        in_order.swap(1, 4);
        assert_eq!(drawn, in_order);
    }
}
