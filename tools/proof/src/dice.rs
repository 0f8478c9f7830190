//! Chance that can be repeated: the same seed rolls the same numbers on every machine.

/// A generator of numbers.
///
/// Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice for this seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`; 0 when there are none.
    pub fn roll(&mut self, sides: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(sides);
        (wide >> 64) as u64
    }

    /// The same as an index.
    pub fn index(&mut self, len: usize) -> usize {
        self.roll(len as u64) as usize
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll(high - low + 1)
    }

    /// True once in `sides` times.
    pub fn once_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    /// A wait that is mostly short and sometimes long: between a tenth and six times `mean`.
    pub fn wait(&mut self, mean: u64) -> u64 {
        let spread = self.between(100, 1_000) * self.between(100, 1_000) / 1_000;
        let scale = if self.once_in(8) { 6 } else { 2 };
        (mean * spread * scale / 1_000).max(1)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_rolls_the_same_numbers_again_and_stays_below_its_sides() {
        let (mut one, mut two) = (Dice::new(7), Dice::new(7));
        let mut seen = [0u32; 6];
        for _ in 0..6_000 {
            let roll = one.roll(6);
            assert_eq!(roll, two.roll(6));
            seen[roll as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
        assert_eq!(one.roll(0), 0);
    }
}
