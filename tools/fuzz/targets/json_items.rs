//! Any bytes as a JSON array: how they are cut into reads changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::wire::json_items::Items;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, text)) = bytes.split_first() else { return };
    let whole = read(text, text.len().max(1));
    assert_eq!(read(text, usize::from(*cut) + 1), whole);
    assert_eq!(read(text, 1), whole);
});

fn read(text: &[u8], piece_bytes: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut items, mut told) = (Items::default(), Vec::new());
    for piece in text.chunks(piece_bytes) {
        if items.push(piece, &mut |item| told.push(item.to_vec())).is_err() {
            return (told, false);
        }
    }
    let is_good = items.finish().is_ok();
    (told, is_good)
}
