//! Irreducible representations of any finite group, real and complex.
