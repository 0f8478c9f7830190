//! Any bytes as a playlist: how they are cut into reads changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::wire::m3u::Parser;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how the rest is cut.
    let Some((cut, playlist)) = bytes.split_first() else { return };
    let whole = read(playlist, playlist.len().max(1));
    assert_eq!(read(playlist, usize::from(*cut) + 1), whole);
    assert_eq!(read(playlist, 1), whole);
});

/// Everything that a parser says about a playlist in pieces of `piece_bytes`, as text.
fn read(playlist: &[u8], piece_bytes: usize) -> Vec<String> {
    let mut said = Vec::new();
    let mut parser = Parser::new();
    for piece in playlist.chunks(piece_bytes) {
        if let Err(error) = parser.push(piece, &mut |result| said.push(format!("{result:?}"))) {
            said.push(format!("{error:?}"));
            return said;
        }
    }
    let summary = parser.finish(&mut |result| said.push(format!("{result:?}")));
    said.push(format!("{summary:?}"));
    said
}
