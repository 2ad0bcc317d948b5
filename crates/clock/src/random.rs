//! The random source of codes, tokens, secrets and jitter.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng as _};

/// A random source. Cheap to clone.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// The cryptographically secure generator of the process, seeded by the operating system.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A source that repeats itself for each `seed`, for tests: its numbers are no secret. Clones draw from one
    /// sequence.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Draws `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng().fill_bytes(&mut bytes);
        bytes
    }

    /// A generator for the functions of the crate `rand`.
    pub fn rng(&self) -> Rng {
        Rng(self.clone())
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Random(system)",
            Source::Seeded(_) => "Random(seeded)",
        })
    }
}

/// A generator that draws from a [`Random`].
#[derive(Debug)]
pub struct Rng(Random);

impl Rng {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that draws from the system's generator"
    )]
    fn with<T>(&self, draw: impl FnOnce(&mut dyn RngCore) -> T) -> T {
        match &self.0.0 {
            Source::System => draw(&mut rand::rng()),
            Source::Seeded(seeded) => draw(&mut *seeded.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        self.with(|rng| rng.next_u32())
    }

    fn next_u64(&mut self) -> u64 {
        self.with(|rng| rng.next_u64())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill_bytes(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence_and_clones_share_it() {
        let one = Random::seeded(7);
        let drawn: [[u8; 16]; 2] = [one.bytes(), one.clone().bytes()];
        assert_ne!(drawn[0], drawn[1]);
        let again = Random::seeded(7);
        assert_eq!(drawn, [again.bytes(), again.bytes()]);
        assert_ne!(Random::seeded(8).bytes::<16>(), drawn[0]);
    }

    #[test]
    fn the_system_source_does_not_repeat_itself() {
        assert_ne!(Random::system().bytes::<32>(), Random::system().bytes::<32>());
    }
}
