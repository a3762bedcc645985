//! Training: split, initialisation, optimiser, engine, checkpoints, many seeds.
