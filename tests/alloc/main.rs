//! What must not allocate, counted by an allocator that counts (I24).
//!
//! At stake: a box with half a gigabyte that runs for years. Tried with a million packets through ring and viewer, and
//! with a day of the guard's decisions. A binary of its own, because an allocator is for a whole process; one test at a
//! time, because only the thread that asks is counted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![expect(unsafe_code, reason = "an allocator is unsafe by nature; this one only counts")]

mod media;
mod observe;
mod step;
mod strangers;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it is; the counter is a plain cell of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that ends has no counter any more, and is not asked.
    COUNT.try_with(|count| count.set(count.get() + 1)).unwrap_or_default();
}

/// Allocations of this thread so far.
fn allocations() -> u64 {
    COUNT.with(Cell::get)
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(allocations() - before, 1);
}
