//! Verifiers: proved lower bounds on accuracy, and what they cost.
