//! Verifiers: proved lower bounds on accuracy, and what they cost.

pub mod cascade;
pub mod orbit;
