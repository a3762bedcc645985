//! Figures, tables and the page to look at.
