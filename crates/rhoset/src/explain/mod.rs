//! Explanations: irreps and cosets of neurons, rho-sets, circuits.

pub mod circuit;
