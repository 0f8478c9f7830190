//! How things are counted: one by one, by the words of a closed set, or by what has no bound.

use std::cell::Cell;

/// A number that only grows.
#[derive(Default)]
pub struct Counter(pub(super) Cell<u64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    /// How often it was added to.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Counters by a word of a closed set.
pub(super) struct Words<const N: usize> {
    names: &'static [&'static str; N],
    pub(super) counters: [Counter; N],
}

impl<const N: usize> Words<N> {
    pub(super) const fn new(names: &'static [&'static str; N]) -> Self {
        Self { names, counters: [const { Counter(Cell::new(0)) }; N] }
    }

    pub(super) fn add(&self, index: usize) {
        if let Some(counter) = self.counters.get(index) {
            counter.add(1);
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.names.iter().zip(&self.counters).map(|(name, counter)| (*name, counter.get()))
    }
}

/// Numbers of things whose set has no bound: the newest `N` are kept.
pub(super) struct Newest<K, const N: usize> {
    pub(super) rows: heapless::Vec<Row<K>, N>,
    touches: u64,
    pub(super) forgotten: u64,
}

pub(super) struct Row<K> {
    pub(super) key: K,
    pub(super) count: u64,
    touched: u64,
}

impl<K, const N: usize> Default for Newest<K, N> {
    fn default() -> Self {
        Self { rows: heapless::Vec::new(), touches: 0, forgotten: 0 }
    }
}

impl<K: PartialEq, const N: usize> Newest<K, N> {
    pub(super) fn add(&mut self, key: K) {
        self.touches += 1;
        let touched = self.touches;
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            (row.count, row.touched) = (row.count.wrapping_add(1), touched);
            return;
        }
        let new = Row { key, count: 1, touched };
        if let Err(new) = self.rows.push(new) {
            self.forgotten += 1;
            if let Some(oldest) = self.rows.iter_mut().min_by_key(|row| row.touched) {
                *oldest = new;
            }
        }
    }
}
