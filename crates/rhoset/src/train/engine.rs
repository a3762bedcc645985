//! What the rest of training asks of an engine: losses, gradient steps, and its whole state.
//!
//! The CPU engine is [`super::cpu::CpuEngine`]; an engine for another device has these few methods to implement.

use super::weights::Tensor;

/// The threads that may work on one network at the moment; results do not depend on it.
#[derive(Clone, Copy)]
pub enum Workers<'a> {
    /// The calling thread alone.
    One,
    /// The calling thread waits for these.
    Pool(&'a rayon::ThreadPool),
}

/// What a network does on some pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The number of pairs.
    pub pairs: usize,
    /// How many have their correct logit strictly the largest.
    pub correct: usize,
    /// The mean cross-entropy, in nats; NaN for no pairs.
    pub loss: f64,
    /// The smallest margin of the correct logit; infinite for no pairs.
    pub min_margin: f64,
}

/// Everything that training needs in order to go on: exact, whatever the precision of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The weights.
    pub weights: Vec<Tensor<f64>>,
    /// The number of optimiser steps made.
    pub step: u64,
    /// The optimiser's first memory of each weight tensor.
    pub first: Vec<Vec<f64>>,
    /// The optimiser's second memory of each weight tensor; empty for an optimiser that has none.
    pub second: Vec<Vec<f64>>,
}

/// One network in training. Pairs are `x * n + y`.
pub trait Engine: Send {
    /// One optimiser step on the mean cross-entropy over the batch; returns the loss before it, in nats.
    fn step(&mut self, batch: &[u32], learning_rate: f64, workers: Workers<'_>) -> f64;

    /// What the network does on these pairs.
    fn score(&mut self, pairs: &[u32], workers: Workers<'_>) -> Score;

    /// The whole state; float64 holds every float32 exactly.
    fn state(&self) -> State;

    /// Goes back to a state that an engine of the same configuration gave.
    fn restore(&mut self, state: &State);
}
