use super::count::Counter;
use super::*;
use pure::model::lineup::Origin;
use pure::rules::alarms::Level;
use pure::rules::breaker::BreakerState;
use pure::rules::pool::{Generation, SlotIndex};

const fn origin(channel: u32) -> Origin {
    Origin { channel: ChannelId(channel), source: 0 }
}

fn failed(channel: u32, failure: Failure) -> Note {
    Note::Failed {
        slot: SlotIndex(0),
        generation: Generation(1),
        channel: ChannelId(channel),
        source: 0,
        failure,
        failures_len: 1,
    }
}

fn render(metrics: &Metrics, now: Mono, gauges: &Gauges<'_>) -> String {
    String::from_utf8(metrics.render_at(now, gauges).unwrap().to_vec()).unwrap()
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|shown| shown == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_counted_is_shown_under_its_name() {
    let metrics = Metrics::default();
    metrics.refused(Refusal::AllTunersInUse);
    metrics.refused(Refusal::Short(Short::Memory));
    metrics.refused_unknown_channel();
    metrics.probed(ProbeResult::Unknown);
    metrics.rebuilt(Rebuilt::Guide);
    metrics.loop_lag.add_us(1_500);
    metrics.db_commit.add_ms(4);
    metrics.sometimes(Point::SeamJoined);
    let slots = [
        SlotGauge { bytes: 188, ..SlotGauge::default() },
        SlotGauge { bytes: 376, overtaken: 1, continuity_errors: 2 },
    ];
    let alarms = [("memory", Some(Level::Warning)), ("playlist", None)];
    let gauges = Gauges {
        viewers: 7,
        slates_shown: 1,
        slots: &slots,
        alarms: &alarms,
        guide_age_s: Some(90),
        ..Gauges::default()
    };
    let text = render(&metrics, Mono(0), &gauges);
    assert_lines(
        &text,
        &[
            "tunerd_viewers 7",
            "tunerd_slates_shown 1",
            "tunerd_stream_failure_total{reason=\"all_tuners_in_use\"} 1",
            "tunerd_stream_failure_total{reason=\"memory\"} 1",
            "tunerd_stream_failure_total{reason=\"unknown_channel\"} 1",
            "tunerd_stream_failure_total{reason=\"no_video\"} 0",
            "tunerd_ffmpeg_spawn_rejected_total{reason=\"slot\"} 1",
            "tunerd_pool_acquisition_latency_seconds_count{outcome=\"refused\"} 2",
            "tunerd_probe_result_total{result=\"unknown\"} 1",
            "tunerd_playout_rebuild_total{of=\"guide\"} 1",
            "tunerd_event_loop_lag_seconds_bucket{le=\"0.001\"} 0",
            "tunerd_event_loop_lag_seconds_bucket{le=\"0.002\"} 1",
            "tunerd_event_loop_lag_seconds_sum 0.0015",
            "tunerd_db_commit_seconds_count 1",
            "tunerd_sometimes_total{point=\"seam_joined\"} 1",
            "tunerd_slot_bytes_total{slot=\"1\"} 376",
            "tunerd_viewer_lagged_total{slot=\"1\"} 1",
            "tunerd_slot_continuity_errors{slot=\"1\"} 2",
            "tunerd_alarms{name=\"memory\",level=\"warning\"} 1",
            "tunerd_alarms{name=\"memory\",level=\"critical\"} 0",
            "tunerd_alarms{name=\"playlist\",level=\"critical\"} 0",
            "tunerd_problems 1",
            "tunerd_guide_age_seconds 90",
            "tunerd_memory_available_bytes NaN",
            "tunerd_limit{name=\"breaker_open_ms\"} 120000",
        ],
    );
}

#[test]
fn what_the_pool_notes_is_counted() {
    let metrics = Metrics::default();
    let channel = ChannelId(4);
    let until = Mono(9);
    for (deny, reason) in [
        (Deny::Draining, "drain"),
        (Deny::Open { until, failure: Failure::Stall }, "breaker"),
        (Deny::Cooldown { until }, "cooldown"),
        (Deny::Throttled { until }, "throttle"),
        (Deny::RecordsFull, "records"),
        (Deny::Short(Short::Memory), "memory"),
        (Deny::Short(Short::Fds), "fd"),
        (Deny::Short(Short::Heat), "heat"),
        (Deny::Short(Short::Ffmpeg), "ffmpeg"),
        (Deny::Token { ready_at: until }, "token"),
    ] {
        metrics.note(&Note::Denied { channel, deny });
        let text = render(&metrics, Mono(0), &Gauges::default());
        let row = format!("tunerd_ffmpeg_spawn_rejected_total{{reason=\"{reason}\"}} 1");
        assert_lines(&text, &[&row]);
    }
    for failure in Failure::ALL {
        metrics.note(&failed(4, failure));
    }
    for note in [
        Note::Acquired { channel, waited_ms: 700 },
        Note::AcquireTimeout { channel },
        Note::Storm,
        Note::SweepFound { slot: SlotIndex(0) },
        Note::ProbeSkipped { slot: SlotIndex(0) },
        Note::Opened { channel, source: 0, failure: Failure::Dns, until },
        Note::Closed { channel },
        Note::Inconclusive { channel },
        Note::Stable { slot: SlotIndex(0), channel },
        Note::SilenceWarning { slot: SlotIndex(0), channel },
        Note::Outage(true),
        Note::Outage(false),
    ] {
        metrics.note(&note);
    }
    metrics.started_at(Mono(0), Kind::Cold, channel);
    metrics.started_at(Mono(0), Kind::Restart, channel);
    metrics.started_at(Mono(30_000), Kind::Probe, channel);
    let text = render(&metrics, Mono(60_000), &Gauges::default());
    for failure in Failure::ALL {
        let class = failure.name();
        assert_lines(
            &text,
            &[
                &format!("tunerd_failure_total{{class=\"{class}\"}} 1"),
                &format!("tunerd_channel_failure_total{{channel_id=\"4\",class=\"{class}\"}} 1"),
            ],
        );
    }
    assert_lines(
        &text,
        &[
            "tunerd_pool_acquisition_latency_seconds_bucket{outcome=\"ok\",le=\"0.5\"} 0",
            "tunerd_pool_acquisition_latency_seconds_bucket{outcome=\"ok\",le=\"1\"} 1",
            "tunerd_pool_acquisition_latency_seconds_sum{outcome=\"ok\"} 0.7",
            "tunerd_pool_acquisition_latency_seconds_count{outcome=\"timeout\"} 1",
            "tunerd_ffmpeg_spawn_timeout_total 1",
            "tunerd_restart_storm_total 1",
            "tunerd_health_timeouts_total 1",
            "tunerd_sweep_found_total 1",
            "tunerd_probe_skipped_total 1",
            "tunerd_ffmpeg_spawn_total{kind=\"cold\"} 1",
            "tunerd_ffmpeg_spawn_total{kind=\"restart\"} 1",
            "tunerd_ffmpeg_spawn_total{kind=\"probe\"} 1",
            "tunerd_channel_restart_total{channel_id=\"4\"} 2",
            // The one at 0 is just gone.
            "tunerd_restart_rate_per_minute 1",
            "tunerd_sometimes_total{point=\"breaker_opened\"} 1",
            "tunerd_sometimes_total{point=\"breaker_probed\"} 1",
            "tunerd_sometimes_total{point=\"outage\"} 1",
        ],
    );
}

#[test]
fn a_throttle_that_leaks_would_show() {
    let metrics = Metrics::default();
    for second in 0..30 {
        metrics.started_at(Mono(second * 1_000), Kind::Restart, ChannelId(1));
    }
    assert_lines(&render(&metrics, Mono(30_000), &Gauges::default()), &["tunerd_restart_rate_per_minute 30"]);
}

#[test]
fn breakers_are_shown_open_ones_first() {
    let states = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];
    let breakers: Vec<_> = (0..300).map(|index: u32| (origin(index), states[index as usize % 3])).collect();
    let metrics = Metrics::default();
    let text = render(&metrics, Mono(0), &Gauges { breakers: &breakers, ..Gauges::default() });
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("tunerd_circuit_breaker_state{")).collect();
    assert_eq!(rows.len(), limits::BREAKER_ROWS_MAX);
    assert_eq!(rows.iter().filter(|row| row.ends_with(" 2")).count(), 100, "all that are open");
    assert_eq!(rows[0], "tunerd_circuit_breaker_state{channel_id=\"1\",source=\"0\"} 2");
    assert_eq!(rows[100], "tunerd_circuit_breaker_state{channel_id=\"2\",source=\"0\"} 1");
    assert_lines(&text, &["tunerd_metric_rows_left_out_total{metric=\"circuit_breaker_state\"} 172"]);
}

#[test]
fn thousands_of_channels_fit_the_page_and_the_newest_are_kept() {
    // The worst that can be: every table full, every number as long as it can be, 64 slots, five thousand channels.
    let metrics = Metrics::default();
    for channel in 0..5_000 {
        let channel = u32::MAX - channel;
        metrics.started_at(Mono(0), Kind::Restart, ChannelId(channel));
        metrics.note(&failed(channel, Failure::ProbeUnhealthy));
    }
    for row in &mut metrics.restarts_of.borrow_mut().rows {
        row.count = u64::MAX;
    }
    for row in &mut metrics.failures_of.borrow_mut().rows {
        row.count = u64::MAX;
    }
    let all = |counters: &[Counter]| counters.iter().for_each(|counter| counter.0.set(u64::MAX));
    all(&metrics.spawns.counters);
    all(&metrics.pulls.counters);
    all(&metrics.refusals.counters);
    all(&metrics.rejections.counters);
    all(&metrics.failures.counters);
    all(&metrics.sights.counters);
    all(&metrics.points.counters);
    let slot = SlotGauge { bytes: u64::MAX, overtaken: u64::MAX, continuity_errors: u64::MAX };
    let breakers: Vec<_> = (0..5_000).map(|index| (origin(u32::MAX - index), BreakerState::Open)).collect();
    let alarms = crate::observe::problems::Problems::default().levels();
    let lines = [("error", u64::MAX), ("warn", u64::MAX), ("info", u64::MAX), ("debug", u64::MAX)];
    let text = render(
        &metrics,
        Mono(0),
        &Gauges {
            slots: &[slot; limits::SLOTS_MAX],
            breakers: &breakers,
            alarms: &alarms,
            log_lines: &lines,
            system_rss_bytes: u64::MAX,
            ..Gauges::default()
        },
    );
    assert!(text.len() <= limits::EXPOSITION_BYTES_MAX, "{}", text.len());
    assert_lines(
        &text,
        &[
            "tunerd_metric_rows_left_out_total{metric=\"page\"} 0",
            &format!(
                "tunerd_metric_rows_left_out_total{{metric=\"channel_restart_total\"}} {}",
                5_000 - limits::CHANNEL_ROWS_MAX
            ),
            &format!(
                "tunerd_metric_rows_left_out_total{{metric=\"channel_failure_total\"}} {}",
                5_000 - limits::FAILURE_ROWS_MAX
            ),
            &format!("tunerd_channel_restart_total{{channel_id=\"{}\"}} {}", u32::MAX - 4_999, u64::MAX),
        ],
    );
    let first = format!("channel_failure_total{{channel_id=\"{}\",", u32::MAX);
    assert!(!text.contains(&first), "the oldest are forgotten");
    assert!(text.len() + 4_096 <= limits::EXPOSITION_BYTES_MAX, "room for what comes: {}", text.len());
}
