//! What the box tells about itself.

use crate::allocations;
use pure::model::lineup::{ChannelId, Origin};
use pure::rules::alarms::{Alarms, Sign, SlotCounts};
use pure::rules::breaker::BreakerState;
use pure::rules::failure::Failure;
use pure::rules::gate::Kind;
use pure::rules::pool::{Generation, Note, SlotIndex};
use pure::time::Mono;
use tunerd::observe::metrics::{Gauges, Metrics};

#[test]
fn counting_and_being_read_allocate_nothing() {
    let metrics = Metrics::default();
    let origin = |index| Origin { channel: ChannelId(index), source: 0 };
    let breakers: Vec<_> = (0..2_000).map(|index| (origin(index), BreakerState::Open)).collect();
    let read = || {
        let text = metrics.render(&Gauges { breakers: &breakers, ..Gauges::default() });
        assert!(text.is_some_and(|text| text.len() > 10_000));
    };
    // The buffer's owner is made with the first text.
    read();
    let before = allocations();
    for index in 0..5_000 {
        let channel = ChannelId(index);
        metrics.started(Kind::Restart, channel);
        let (slot, generation) = (SlotIndex(0), Generation(u64::from(index)));
        metrics.note(&Note::Failed { slot, generation, channel, source: 0, failure: Failure::Stall, failures_len: 1 });
        metrics.note(&Note::Acquired { channel, waited_ms: u64::from(index) });
        metrics.loop_lag.add_us(u64::from(index));
        if index % 50 == 0 {
            read();
        }
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn an_alarm_allocates_nothing() {
    let mut alarms = Alarms::default();
    let before = allocations();
    let mut changes = 0;
    for index in 0..100_000_u32 {
        let now = Mono(u64::from(index) * 700);
        let sign = match index % 7 {
            0 => Sign::Restarted,
            1 => Sign::Crashed(ChannelId(index % 5)),
            2 => Sign::Throttled { storm: index % 2 == 0 },
            3 => Sign::Stalled { ms: u64::from(index % 3_000) },
            4 => Sign::Outage(index % 3 == 0),
            5 => Sign::Slots(SlotCounts { all: 4, taken: index as usize % 5, ..SlotCounts::default() }),
            _ => Sign::Tick,
        };
        changes += alarms.on(now, sign).len();
    }
    assert_eq!(allocations() - before, 0);
    assert!(changes > 100, "{changes}");
}
