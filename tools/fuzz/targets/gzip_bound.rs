//! Any bytes as a packed guide: however they are cut, the same comes out or the same is refused, and never more than the
//! bounds allow.
#![no_main]

#[path = "../../../src/store/guide/unpack.rs"]
mod unpack;

use libfuzzer_sys::fuzz_target;
use pure::limits::{GUIDE_RATIO_FROM_BYTES, GUIDE_RATIO_MAX};
use unpack::{Sink, Unpacker};

#[derive(Default)]
struct Counted {
    bytes: u64,
    sum: u64,
}

impl Sink for Counted {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes += bytes.len() as u64;
        self.sum = bytes.iter().fold(self.sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how the rest is cut; the second, whether it is to look packed.
    let [cut, kind, packed @ ..] = bytes else { return };
    let magic: &[u8] = match kind % 3 {
        0 => &[],
        1 => &[0x1f, 0x8b, 8],
        _ => &[0xfd, b'7', b'z', b'X', b'Z', 0, 0],
    };
    let packed = [magic, packed].concat();
    let whole = unpack(&packed, packed.len().max(1));
    let pieces = unpack(&packed, usize::from(*cut) + 1);
    // Where it breaks off may differ; whether it does, may not.
    assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
    if let Ok((out, _)) = whole {
        let bound = (packed.len() as u64 + 1) * GUIDE_RATIO_MAX;
        assert!(out <= bound.max(GUIDE_RATIO_FROM_BYTES) + 64 * 1024);
    }
});

fn unpack(packed: &[u8], piece_bytes: usize) -> Result<(u64, u64), String> {
    let mut unpacker = Unpacker::new(Counted::default());
    for piece in packed.chunks(piece_bytes) {
        unpacker.push(piece)?;
    }
    unpacker.finish().map(|counted| (counted.bytes, counted.sum))
}
