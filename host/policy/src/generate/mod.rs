//! Generation: completions are drawn token by token, with keys and values kept in a cache.
//!
//! | module | has |
//! | --- | --- |
//! | [`sample`] | [`sample()`](sample::sample): a completion for each request |
//! | [`completion`] | the request, and the completion that is drawn for it |
//! | [`config`] | the settings |
//! | [`scheduler`] | which sequences are decoded together: they enter and leave one by one |
//! | [`decode`] | the computation of prompts and of steps over the cache |
//! | [`row`] | a row of a step: the last token of a sequence, and its places in the cache |
//! | [`recorded`] | a step on a device, recorded once and launched as a whole |
//! | [`blocks`] | the blocks of the cache that are free |
//! | [`draw`] | from logits to a token and its log-probability |
//! | [`seed`] | the random numbers, a function of run, step, sample and token |
//! | [`stop`] | the texts that end a completion |
//! | [`memory`] | the memory that all this needs, before it is taken |

pub(crate) mod blocks;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod decode;
pub(crate) mod draw;
pub(crate) mod memory;
pub(crate) mod recorded;
pub(crate) mod row;
pub(crate) mod sample;
pub(crate) mod scheduler;
pub(crate) mod seed;
pub(crate) mod stop;
