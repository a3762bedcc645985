//! Which vectors the machine has: asked once, answered alike for every inner loop that is written in them.

/// Kinds of vectors, each a part of the next on the machines that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vectors {
    /// Arrays, which compilers vectorise as they can.
    Portable,
    /// AVX2 with fused multiplication and addition.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with numbers of 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with dot products of numbers of 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Vectors {
    /// The best that this machine has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            if avx512 && is_x86_feature_detected!("avx512vnni") {
                return Self::Avx512Vnni;
            }
            if avx512 {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Every kind that this machine has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let kinds = vec![Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Vnni];
        #[cfg(not(target_arch = "x86_64"))]
        let kinds = vec![Self::Portable];
        kinds.into_iter().filter(|kind| *kind <= Self::detect()).collect()
    }
}
