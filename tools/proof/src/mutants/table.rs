//! The defects.

use super::Mutant;

const GATE: &str = "rules/gate.rs";
const BREAKER: &str = "rules/breaker.rs";
const THROTTLE: &str = "rules/throttle.rs";
const BUCKET: &str = "rules/bucket.rs";
const ACQUIRE: &str = "rules/acquire.rs";
const ADMISSION: &str = "rules/admission.rs";
const CONSTANTS: &str = "rules/constants.rs";
const FAILURE: &str = "rules/failure.rs";
const HEALTH: &str = "rules/health.rs";
const OUTAGE: &str = "rules/outage.rs";
const POOL: &str = "rules/pool.rs";
const ATTEMPTS: &str = "rules/pool/attempts.rs";
const QUEUE: &str = "rules/pool/queue.rs";
const SEATS: &str = "rules/pool/seats.rs";
const FAILOVER: &str = "rules/pool/failover.rs";
const PACE: &str = "rules/pace.rs";
const LIMITS: &str = "limits.rs";

const fn mutant(
    id: &'static str,
    what: &'static str,
    file: &'static str,
    edits: &'static [(&'static str, &'static str)],
    rules: &'static [&'static str],
) -> Mutant {
    Mutant { id, what, file, edits, rules }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    // ---- Those of the specification ---------------------------------------------------------------------------------
    // There is nothing to take away: no rule asks whether a probe is out, because one channel has one child anyway.
    mutant("M1", "no check for a second probe: there is none, one channel has one child", GATE, &[], &[]),
    mutant(
        "M2",
        "pruning closes an open breaker",
        GATE,
        &[(
            "let kind = match self.breakers.open(origin) {",
            "let kind = match self.breakers.open(origin).filter(|_| self.breakers.failures_len(now, origin) > 0) {",
        )],
        &["I3", "I2"],
    ),
    mutant(
        "M3",
        "each question without a token starts the limiter anew",
        BUCKET,
        &[(
            "        let ready = self.ready_at() <= now;\n",
            "        let ready = self.ready_at() <= now;\n        if !ready { self.full_at = now.plus_ms(u64::from(self.burst) * self.period_ms); }\n",
        )],
        &["I8", "G2"],
    ),
    mutant(
        "M4",
        "the initial tune is exempt from the breaker",
        GATE,
        &[(
            "Some((failure, until)) if until > now => return Err(Deny::Open { until, failure }),",
            "Some((_, until)) if until > now => Kind::Cold,",
        )],
        &["I3", "I9"],
    ),
    mutant(
        "M5",
        "a denial is recorded as a restart",
        GATE,
        &[(
            "            return Err(Deny::Token { ready_at",
            "            self.throttle.add(now);\n            return Err(Deny::Token { ready_at",
        )],
        &["I8", "G2"],
    ),
    mutant(
        "M6",
        "a slot is free before its child is reaped",
        ATTEMPTS,
        &[(
            "        if self.viewers_of(index) == 0 {\n            self.slot_mut(index).plays = None;",
            "        if self.viewers_of(index) == 0 {\n            self.free(now, index);",
        )],
        &["I4", "view"],
    ),
    mutant(
        "M7",
        "a stale generation is obeyed",
        ATTEMPTS,
        &[(
            "Phase::Running { attempt, linger_until } if attempt.generation == wanted => Some((attempt, linger_until)),",
            "Phase::Running { attempt, linger_until } if attempt.generation >= wanted => Some((attempt, linger_until)),",
        )],
        &["I4", "I10", "5-F", "view", "5-V"],
    ),
    mutant(
        "M8",
        "no cooldown",
        GATE,
        &[(
            "            if until > now {\n                return Err(Deny::Cooldown { until });",
            "            if false {\n                return Err(Deny::Cooldown { until });",
        )],
        &["I2"],
    ),
    mutant(
        "M9",
        "who would wait long for a token goes without one",
        GATE,
        &[(
            "        if !self.bucket.take(now) {",
            "        if !self.bucket.take(now) && self.bucket.ready_at().ms_since(now) < 100 {",
        )],
        &["I5", "G2"],
    ),
    mutant(
        "K4",
        "a child that cannot be reaped gives its slot back",
        ATTEMPTS,
        &[("                self.set_phase(now, index, Phase::Quarantined { generation, account });\n", "")],
        &["I4", "view"],
    ),
    mutant(
        "M10",
        "the breaker opens when somebody asks, not when the failure comes",
        BREAKER,
        &[
            (
                "breaker.state == State::HalfOpen || failure.is_final() || breaker.failures_len(now) >= rules.failures_max;",
                "breaker.state == State::HalfOpen || failure.is_final();",
            ),
            (
                "            State::Open { failure, eligible_at } => Some((failure, eligible_at)),\n",
                "            State::Open { failure, eligible_at } => Some((failure, eligible_at)),\n            State::Closed if self.get(origin)?.failures.len() >= 5 => Some((self.get(origin)?.last_failure?, self.get(origin)?.failures.back()?.plus_ms(120_000))),\n",
            ),
        ],
        &["I3", "I9", "B2", "timelines"],
    ),
    mutant(
        "B12",
        "the breaker opens one failure late",
        BREAKER,
        &[("breaker.failures_len(now) >= rules.failures_max;", "breaker.failures_len(now) > rules.failures_max;")],
        &["I3"],
    ),
    mutant(
        "M11",
        "the throttle's window is a millisecond short",
        THROTTLE,
        &[(
            "oldest.map_or(Mono(0), |at| at.plus_ms(rules.throttle_window_ms))",
            "oldest.map_or(Mono(0), |at| at.plus_ms(rules.throttle_window_ms - 1))",
        )],
        &["I1", "G2"],
    ),
    mutant(
        "M12",
        "a start fails unnoticed when its viewer has left",
        ATTEMPTS,
        &[(
            "        None => Some(Failure::EarlyExit),\n    }\n}",
            "        None => has_viewers.then_some(Failure::EarlyExit),\n    }\n}",
        )],
        &["5-F"],
    ),
    mutant(
        "M13",
        "an abandoned probe leaves the breaker half open",
        ATTEMPTS,
        &[("        if decides {\n            self.gate", "        if false && decides {\n            self.gate")],
        &["I11"],
    ),
    mutant(
        "M14",
        "what the kernel refuses is the channel's failure",
        ATTEMPTS,
        &[(
            "        self.no_verdict(now, index, effects);\n        self.refuse_waiting(",
            "        self.fail(now, index, Failure::EarlyExit, effects);\n        self.refuse_waiting(",
        )],
        &["5-F", "I10"],
    ),
    mutant(
        "M16",
        "admission is asked at the door only",
        GATE,
        &[("        self.check_board(facts, wish, reserved_bytes)?;\n", "        let _ = (facts, reserved_bytes);\n")],
        &["I7"],
    ),
    mutant(
        "M17",
        "viewers are left hanging on an open channel",
        ATTEMPTS,
        &[(
            "                let refusal = Self::refusal_while_open(now, failure, until);\n                self.dismiss(index, refusal, effects);\n",
            "                let _ = (failure, until);\n",
        )],
        &["I9", "B4"],
    ),
    mutant(
        "M18",
        "who comes while the child is torn down is forgotten",
        ATTEMPTS,
        &[(
            "        if self.slot(index).is_none_or(|slot| slot.plays.is_none()) || self.viewers_of(index) == 0 {",
            "        if !matches!(self.slot_mut(index).phase, Phase::Running { .. }) {",
        )],
        &["assert", "I8"],
    ),
    mutant(
        "M19",
        "the linger's end kills a channel that was joined again",
        SEATS,
        &[(
            "                *linger_until = None;\n                if attempt.first_at",
            "                let _ = linger_until;\n                if attempt.first_at",
        )],
        &["assert", "I14"],
    ),
    mutant(
        "M20",
        "failures never age",
        BREAKER,
        &[(
            "self.failures.iter().filter(|at| at.plus_ms(self.window_ms) > now).count()",
            "{ let _ = now; self.failures.len() }",
        )],
        &["I3", "B2", "G2", "I2"],
    ),
    mutant(
        "M21",
        "a failed probe does not open the breaker again",
        BREAKER,
        &[("breaker.state == State::HalfOpen || failure.is_final()", "failure.is_final()")],
        &["I3", "I11"],
    ),
    mutant(
        "M23",
        "no end of a gap",
        SEATS,
        &[(
            "Seat::Held { until } if !self.has_child(viewer.slot) => Some(until),",
            "Seat::Held { until } if false => Some(until),",
        )],
        &["5-V3", "I15"],
    ),
    mutant(
        "M25",
        "a channel that was told to end can still fail",
        ATTEMPTS,
        &[(
            "        } else if !self.lives(index, generation) {\n            return;\n        }\n",
            "        } else if !self.lives(index, generation) {\n            return;\n        } else if let Phase::Stopping { attempt, .. } = self.slot_mut(index).phase {\n            let _ = self.gate.fail(now, attempt.wish, Failure::EarlyExit);\n        }\n",
        )],
        &["B2", "view", "I2", "G2", "V1 early", "I8"],
    ),
    mutant(
        "M26",
        "a start is cut short when its viewers leave",
        SEATS,
        &[(
            "Phase::Running { attempt, linger_until } if attempt.first_at.is_some() => {",
            "Phase::Running { attempt: _, linger_until } => {",
        )],
        &["I16"],
    ),
    mutant(
        "M27",
        "a first wait has no end",
        SEATS,
        &[(
            "            Seat::Waiting { answer_by } => Some(answer_by),\n",
            "            Seat::Waiting { .. } => None,\n",
        )],
        &["V1"],
    ),
    mutant(
        "M7b",
        "a stale generation's end is obeyed",
        ATTEMPTS,
        &[(
            "Phase::Stopping { ref attempt, .. } => attempt.generation == wanted,",
            "Phase::Stopping { ref attempt, .. } => attempt.generation >= wanted,",
        )],
        &["I4", "view", "G2"],
    ),
    // ---- The gate -----------------------------------------------------------------------------------------------------
    mutant(
        "G1",
        "draining does not close the gate",
        GATE,
        &[("        self.draining = true;\n", "")],
        &["G9", "5-V", "I6"],
    ),
    mutant(
        "G2",
        "a probe needs no cooldown, and no place in the throttle",
        GATE,
        &[(
            "        if kind != Kind::Cold {\n            let until",
            "        if kind == Kind::Restart {\n            let until",
        )],
        &["I2", "I1"],
    ),
    mutant(
        "G3",
        "probes are not in the restart ledger",
        GATE,
        &[(
            "        if kind != Kind::Cold {\n            self.revision += 1;",
            "        if kind == Kind::Restart {\n            self.revision += 1;",
        )],
        &["I1", "I2", "view"],
    ),
    mutant(
        "G4",
        "cold starts are in the restart ledger",
        GATE,
        &[(
            "        if kind != Kind::Cold {\n            self.revision += 1;\n            self.throttle.add(now);",
            "        self.throttle.add(now);\n        if kind != Kind::Cold {\n            self.revision += 1;",
        )],
        &["I8", "G2"],
    ),
    mutant(
        "G5",
        "the token is taken before the board is asked",
        GATE,
        &[
            (
                "        self.check_board(facts, wish, reserved_bytes)?;\n        if !self.bucket",
                "        if !self.bucket",
            ),
            (
                "        if kind != Kind::Cold {\n            self.revision",
                "        self.check_board(facts, wish, reserved_bytes)?;\n        if kind != Kind::Cold {\n            self.revision",
            ),
        ],
        &["G2", "I8"],
    ),
    mutant(
        "G6",
        "the throttle is asked before the cooldown",
        GATE,
        &[(
            "            let until = self.breakers.cooldown_until(origin, &self.rules);\n            if until > now {\n                return Err(Deny::Cooldown { until });\n            }\n            let until = self.throttle.ready_at(&self.rules);\n            if until > now {\n                return Err(Deny::Throttled { until });\n            }\n",
            "            let until = self.throttle.ready_at(&self.rules);\n            if until > now {\n                return Err(Deny::Throttled { until });\n            }\n            let until = self.breakers.cooldown_until(origin, &self.rules);\n            if until > now {\n                return Err(Deny::Cooldown { until });\n            }\n",
        )],
        &["G2"],
    ),
    mutant(
        "G7",
        "half as many tokens again",
        GATE,
        &[("u32::try_from(2 * slots_len)", "u32::try_from(3 * slots_len)")],
        &["I5"],
    ),
    mutant(
        "G8",
        "a retry is told without the throttle",
        GATE,
        &[(
            "now.max(open_until.unwrap_or(now)).max(cooldown_until).max(throttled_until)",
            "{ let _ = throttled_until; now.max(open_until.unwrap_or(now)).max(cooldown_until) }",
        )],
        &["5-V retry", "V1 early", "5-V"],
    ),
    mutant(
        "G9",
        "the prober needs nothing of the board",
        GATE,
        &[(
            "let admitted = !self.draining && admit(facts, Work::Copy, reserved_bytes).is_ok();",
            "let admitted = !self.draining || admit(facts, Work::Copy, reserved_bytes).is_ok();",
        )],
        &["G8"],
    ),
    // ---- Breaker ------------------------------------------------------------------------------------------------------
    mutant(
        "B1",
        "the window is a millisecond long too much",
        BREAKER,
        &[(
            "self.failures.iter().filter(|at| at.plus_ms(self.window_ms) > now).count()",
            "self.failures.iter().filter(|at| at.plus_ms(self.window_ms) >= now).count()",
        )],
        &["timelines", "I3", "B2", "G2", "I2"],
    ),
    mutant(
        "B2",
        "an inconclusive probe rests again",
        BREAKER,
        &[(
            "breaker.state = State::Open { failure, eligible_at: now };",
            "breaker.state = State::Open { failure, eligible_at: now.plus_ms(120_000) };",
        )],
        &["view", "5-V", "I9", "G2", "I8"],
    ),
    mutant(
        "B3",
        "an inconclusive probe closes the breaker",
        BREAKER,
        &[(
            "                breaker.state = State::Open { failure, eligible_at: now };",
            "                let _ = (failure, now);\n                breaker.state = State::Closed;",
        )],
        &["view", "I3"],
    ),
    mutant(
        "B4",
        "a stable probe forgets nothing",
        BREAKER,
        &[("            breaker.failures.clear();\n", "")],
        &["view", "B2", "I2", "I3", "timelines"],
    ),
    mutant(
        "B5",
        "reset forgets the window",
        BREAKER,
        &[(
            "breaker.state = State::Open { failure, eligible_at: eligible_at.min(now) };",
            "breaker.state = State::Open { failure, eligible_at: eligible_at.min(now) };\n                breaker.failures.clear();",
        )],
        &["view", "B2"],
    ),
    mutant(
        "B6",
        "reset does nothing",
        BREAKER,
        &[(
            "State::Open { failure, eligible_at: eligible_at.min(now) };",
            "State::Open { failure, eligible_at: eligible_at.max(now) };",
        )],
        &["view", "5-V", "I9", "G2", "I8"],
    ),
    mutant(
        "B7",
        "the window of files is that of live sources",
        CONSTANTS,
        &[("        self.window_ms_min.max(silences)", "        let _ = silences;\n        self.window_ms_min")],
        &["B2", "view", "timelines", "I3", "I2"],
    ),
    mutant(
        "B8",
        "arguments that nobody understands are tried five times",
        FAILURE,
        &[("matches!(self, Self::Config | Self::Policy)", "matches!(self, Self::Policy)")],
        &["I3"],
    ),
    mutant(
        "B9",
        "a usage error counts whenever it comes",
        ATTEMPTS,
        &[(
            "        Some(Failure::Config) if now.ms_since(attempt.started_at) >= USAGE_ERROR_MS => Some(Failure::EarlyExit),\n",
            "        Some(Failure::Config) if now.ms_since(attempt.started_at) >= 40 * USAGE_ERROR_MS => Some(Failure::EarlyExit),\n",
        )],
        &["5-F"],
    ),
    mutant(
        "B10",
        "memory for failures has no end",
        BREAKER,
        &[(
            "self.records.len() + SLOTS_MAX < RECORDS_MAX || self.get(origin).is_some()",
            "self.records.len() + SLOTS_MAX < RECORDS_MAX || origin.channel.0 < u32::MAX",
        )],
        &["assert"],
    ),
    mutant(
        "B11",
        "the sweep forgets open breakers",
        BREAKER,
        &[(
            "        self.state == State::Closed\n            && self.failures",
            "        self.state != State::HalfOpen\n            && self.failures",
        )],
        &["view", "I3"],
    ),
    mutant(
        "B13",
        "a cooldown is a millisecond short",
        BREAKER,
        &[(
            "restarted_at.map_or(Mono(0), |at| at.plus_ms(rules.cooldown_ms))",
            "restarted_at.map_or(Mono(0), |at| at.plus_ms(rules.cooldown_ms - 1))",
        )],
        &["I2", "G2", "timelines", "5-V retry"],
    ),
    mutant(
        "B14",
        "a channel whose source changed class keeps its old window",
        SEATS,
        &[("        self.gate.asked(wish);\n", "")],
        &["B2", "view"],
    ),
    // ---- The snapshot -------------------------------------------------------------------------------------------------
    mutant(
        "S1",
        "after a crash the limiter is full",
        GATE,
        &[("        if !clean {\n", "        if clean {\n")],
        &["I5", "G2"],
    ),
    mutant(
        "S2",
        "a crash forgets the restart ledger",
        GATE,
        &[(
            "                        self.throttle.add(Mono(at).min(now));\n",
            "                        let _: u64 = at;\n                        let _ = now;\n",
        )],
        &["I25"],
    ),
    mutant(
        "S3",
        "a crash forgets cooldowns",
        BREAKER,
        &[(
            "Breaker { last_failure, restarted_at, ..Breaker::new(window_ms) }",
            "Breaker { last_failure, restarted_at: restarted_at.filter(|_| false), ..Breaker::new(window_ms) }",
        )],
        &["view", "I2"],
    ),
    mutant(
        "S4",
        "a crash ends the rest of a breaker",
        BREAKER,
        &[(
            "State::Open { failure, eligible_at: Mono(eligible_at.parse().ok()?) }",
            "State::Open { failure, eligible_at: Mono(eligible_at.parse::<u64>().ok()?).min(now) }",
        )],
        &["view", "I3"],
    ),
    mutant(
        "S5",
        "a crash forgets that a probe was out",
        BREAKER,
        &[("\"half-open\" => State::Open { failure, eligible_at: now },", "\"half-open\" => State::Closed,")],
        &["view", "I3"],
    ),
    mutant(
        "S6",
        "a crash forgets the failures in the window",
        BREAKER,
        &[("            breaker.push_failure(Mono(at.parse().ok()?));", "            let _: u64 = at.parse().ok()?;")],
        &["view", "B2", "G2"],
    ),
    // ---- Limiter, throttle, acquisition -----------------------------------------------------------------------------
    mutant(
        "T1",
        "a full limiter is fuller by one",
        BUCKET,
        &[(
            "Mono(self.full_at.0.saturating_sub(u64::from(self.burst - 1) * self.period_ms))",
            "Mono(self.full_at.0.saturating_sub(u64::from(self.burst) * self.period_ms))",
        )],
        &["I5"],
    ),
    mutant(
        "T2",
        "an acquisition has no end",
        ACQUIRE,
        &[("                return Step::TimedOut;", "                self.attempt = 1;")],
        &["I18", "time"],
    ),
    mutant(
        "T3",
        "each denied restart is a storm",
        QUEUE,
        &[("        if now >= self.storm_until {\n", "        if now >= self.storm_until || until > now {\n")],
        &["R3"],
    ),
    mutant(
        "T6",
        "a storm is told twice",
        QUEUE,
        &[(
            "            effects.note(Note::Storm);\n",
            "            effects.note(Note::Storm);\n            effects.note(Note::Storm);\n",
        )],
        &["R3"],
    ),
    mutant(
        "T7",
        "a storm is never told",
        QUEUE,
        &[("        if now >= self.storm_until {\n", "        if now.0 == u64::MAX {\n")],
        &["R3"],
    ),
    mutant(
        "T8",
        "an acquisition has six attempts",
        ACQUIRE,
        &[("self.attempt >= ACQUIRE_ATTEMPTS_MAX {", "self.attempt > ACQUIRE_ATTEMPTS_MAX {")],
        &["I18"],
    ),
    mutant(
        "T4",
        "who waits for memory acquires",
        QUEUE,
        &[(
            "                self.slot_mut(index).acquire = None;\n                self.wait_until",
            "                self.wait_until",
        )],
        &["I8", "I18"],
    ),
    mutant(
        "T5",
        "last come, first served",
        QUEUE,
        &[(
            "        let waiting: heapless::Vec<SlotIndex, { crate::limits::SLOTS_MAX }> = self.queue.iter().copied().collect();",
            "        let mut waiting: heapless::Vec<SlotIndex, { crate::limits::SLOTS_MAX }> = self.queue.iter().copied().collect();\n        waiting.reverse();",
        )],
        &["R3", "I8"],
    ),
    // ---- Admission ----------------------------------------------------------------------------------------------------
    mutant(
        "A1",
        "encoding at any heat",
        ADMISSION,
        &[("&& heat > ENCODE_HEAT_MAX_MILLI_C =>", "&& heat > 2 * ENCODE_HEAT_MAX_MILLI_C =>")],
        &["I7"],
    ),
    mutant(
        "A2",
        "descriptors for the child are not counted",
        ADMISSION,
        &[("facts.fds_open.saturating_add(work.fds()) >", "facts.fds_open >")],
        &["I7"],
    ),
    mutant(
        "A3",
        "two starts spend the same memory",
        ADMISSION,
        &[("available.saturating_sub(reserved_bytes) <", "available <")],
        &["I7"],
    ),
    mutant(
        "A4",
        "memory is promised to a child for ever",
        ATTEMPTS,
        &[(
            "self.first_at.is_none_or(|first_at| now < first_at.plus_ms(rules.reservation_ms))",
            "self.first_at.is_none_or(|first_at| now < first_at.plus_ms(rules.reservation_ms + 86_400_000))",
        )],
        &["5-V", "G2", "I8"],
    ),
    // ---- Attempts -----------------------------------------------------------------------------------------------------
    mutant(
        "F1",
        "every silence is short",
        ATTEMPTS,
        &[(
            "if is_probe || is_first && self.viewers_of(index) > 0 {",
            "if is_probe || is_first || self.viewers_of(index) > 0 {",
        )],
        &["5-F", "timelines"],
    ),
    mutant(
        "F2",
        "no silence is short but a probe's",
        ATTEMPTS,
        &[(
            "if is_probe || is_first && self.viewers_of(index) > 0 {",
            "if is_probe || is_first && self.viewers_of(index) > 1_000 {",
        )],
        &["5-F", "timelines"],
    ),
    mutant(
        "F3",
        "a probe may be silent as long as any",
        ATTEMPTS,
        &[("let is_probe = attempt.decides();\n        // As it was", "let is_probe = false;\n        // As it was")],
        &["5-F", "timelines"],
    ),
    mutant(
        "F4",
        "stable without a fresh packet",
        ATTEMPTS,
        &[(
            "            if attempt.output_at.plus_ms(fresh_ms) >= now {",
            "            if attempt.output_at.plus_ms(fresh_ms) >= now || !attempt.stable {",
        )],
        &["5-0", "B7"],
    ),
    mutant(
        "F5",
        "a viewer who waited leaves no trace on a pre-empted start",
        ATTEMPTS,
        &[(
            "attempt.first_at.is_none() && attempt.longest_wait_ms >= self.rules.preempted_wait_ms",
            "attempt.first_at.is_none() && attempt.longest_wait_ms >= 10 * self.rules.preempted_wait_ms",
        )],
        &["F3"],
    ),
    mutant(
        "F6",
        "each pre-empted start is a failure",
        ATTEMPTS,
        &[(
            "attempt.first_at.is_none() && attempt.longest_wait_ms >= self.rules.preempted_wait_ms",
            "attempt.first_at.is_none()",
        )],
        &["5-F"],
    ),
    mutant(
        "F7",
        "who finds no format he plays blames the source",
        ATTEMPTS,
        &[(
            "            Needs::Work(needs) if work < needs => (class, needs),",
            "            Needs::Work(needs) if work < needs && work != Work::Copy => (class, needs),",
        )],
        &["5-F"],
    ),
    mutant(
        "F8",
        "a stable child that ends under its viewers is no failure",
        ATTEMPTS,
        &[("_ if attempt.stable => has_viewers.then_some(Failure::Disconnect),", "_ if attempt.stable => None,")],
        &["5-F", "timelines"],
    ),
    mutant(
        "F9",
        "a file that breaks off at once is over",
        ATTEMPTS,
        &[("attempt.wish.class == SourceClass::File && attempt.stable;", "attempt.wish.class == SourceClass::File;")],
        &["5-F", "5-V3"],
    ),
    mutant(
        "F10",
        "a picture that stands still is a picture",
        ATTEMPTS,
        &[(
            "attempt.output_at.plus_ms(silence_ms).min(attempt.picture_at.plus_ms(no_picture_ms))",
            "{ let _ = no_picture_ms; attempt.output_at.plus_ms(silence_ms) }",
        )],
        &["5-F"],
    ),
    mutant(
        "K1",
        "no SIGKILL after SIGTERM",
        POOL,
        &[(
            "            Phase::Stopping { deadline, .. } => Some(deadline),\n            Phase::Free",
            "            Phase::Stopping { .. } => None,\n            Phase::Free",
        )],
        &["5-K"],
    ),
    mutant(
        "K2",
        "a lost slot is lost for ever",
        ATTEMPTS,
        &[(
            "            Phase::Quarantined { generation, .. } => generation == wanted,\n",
            "            Phase::Quarantined { generation, .. } => generation > wanted,\n",
        )],
        &["view", "I21"],
    ),
    mutant(
        "K3",
        "nobody is told that a slot was lost",
        ATTEMPTS,
        &[("                self.dismiss(index, Refusal::SlotStuck, effects);\n", "")],
        &["assert", "V1"],
    ),
    // ---- Looks --------------------------------------------------------------------------------------------------------
    mutant(
        "P1",
        "two looks at once",
        ATTEMPTS,
        &[("        if self.looks_running >= PROBES_MAX {", "        if self.looks_running > PROBES_MAX {")],
        &["I19"],
    ),
    mutant(
        "P2",
        "looks are measured from their beginning",
        HEALTH,
        &[(
            "        self.began_at = None;\n        self.next_at = now.plus_ms(every_ms);",
            "        self.next_at = self.began_at.unwrap_or(now).plus_ms(every_ms);\n        self.began_at = None;",
        )],
        &["P1"],
    ),
    mutant(
        "P3",
        "what is unknown is unhealthy",
        HEALTH,
        &[(
            "                self.unknown_len = self.unknown_len.saturating_add(1);\n                return false;",
            "                self.unknown_len = self.unknown_len.saturating_add(1);\n                self.unhealthy_since.get_or_insert(now);\n                self.unhealthy_len = self.unhealthy_len.saturating_add(1);",
        )],
        &["5-F"],
    ),
    mutant(
        "P4",
        "one healthy look between changes nothing",
        HEALTH,
        &[("                self.unhealthy_since = None;\n                self.unhealthy_len = 0;\n", "")],
        &["5-F"],
    ),
    mutant(
        "P5",
        "unhealthy for a moment is enough",
        HEALTH,
        &[("since.plus_ms(rules.unhealthy_ms) <= now", "since.plus_ms(rules.unhealthy_ms / 4) <= now")],
        &["5-F"],
    ),
    mutant(
        "P6",
        "a look never ends anything",
        ATTEMPTS,
        &[(
            "        if has_failed {\n            self.fail",
            "        if has_failed && self.looks_running > PROBES_MAX {\n            self.fail",
        )],
        &["5-F"],
    ),
    // ---- Viewers ------------------------------------------------------------------------------------------------------
    mutant(
        "V1",
        "who waits in vain is not told before his time is up",
        SEATS,
        &[(
            "        self.refuse_those(now, index, effects, |answer_by| until > answer_by, refusal);",
            "        self.refuse_those(now, index, effects, |answer_by| until > answer_by.plus_ms(100_000), refusal);",
        )],
        &["V1 early"],
    ),
    mutant(
        "V2",
        "a rest is told a second too long",
        SEATS,
        &[(
            "Refusal::Resting { retry_ms: until.ms_since(now) }",
            "Refusal::Resting { retry_ms: until.ms_since(now) + 1_000 }",
        )],
        &["5-V"],
    ),
    mutant(
        "V3",
        "a gap begins anew with each child",
        SEATS,
        &[(
            "            if viewer.seat == Seat::Watching {\n",
            "            if !matches!(viewer.seat, Seat::Waiting { .. }) {\n",
        )],
        &["I15", "5-V3"],
    ),
    mutant(
        "V4",
        "a gap ends while a start is on its way",
        SEATS,
        &[(
            "Seat::Held { until } if !self.has_child(viewer.slot) => Some(until),",
            "Seat::Held { until } => Some(until),",
        )],
        &["5-V3"],
    ),
    mutant(
        "V5",
        "a tuner's number is not looked at",
        SEATS,
        &[(
            ".filter(|(index, slot)| tuner.is_none_or(|tuner| tuner == *index) && !slot.is_held)",
            ".filter(|(index, slot)| tuner.is_none_or(|tuner| tuner >= *index) && !slot.is_held)",
        )],
        &["tuner"],
    ),
    mutant(
        "V6",
        "a tuner that is kept is given away",
        SEATS,
        &[(
            "tuner.is_none_or(|tuner| tuner == *index) && !slot.is_held)",
            "tuner.is_none_or(|tuner| tuner == *index) && !(slot.is_held && tuner.is_some()))",
        )],
        &["hold"],
    ),
    mutant(
        "V7",
        "a start that somebody waits for is cut short for another",
        SEATS,
        &[(
            "Phase::Running { .. } if self.viewers_of(index) == 0 => Cost::StartsForNobody,",
            "Phase::Running { ref attempt, .. } if attempt.first_at.is_none() => Cost::StartsForNobody,",
        )],
        &["I14", "assert"],
    ),
    mutant(
        "V8",
        "a linger is not given to who needs it",
        SEATS,
        &[(
            "                Phase::Running { linger_until: Some(until), .. } => Cost::Lingers(until),\n",
            "                Phase::Running { linger_until: Some(_), .. } => return None,\n",
        )],
        &["5-V"],
    ),
    mutant(
        "V9",
        "packets go on where none have ended",
        QUEUE,
        &[("let continues = self.held_on(index) > 0;", "let continues = self.viewers_of(index) > 0;")],
        &["5-V3"],
    ),
    mutant(
        "V10",
        "the hopeless are never refused early",
        SEATS,
        &[("        let until = self.next_start_at(now, &sources);\n", "        let until = Mono(0);\n")],
        &["V1 early"],
    ),
    mutant(
        "V11",
        "who is sent away stays in the books",
        SEATS,
        &[(
            "            viewer.slot != index\n        });",
            "            viewer.slot != index || matches!(viewer.seat, Seat::Held { .. })\n        });",
        )],
        &["assert", "view", "API"],
    ),
    mutant(
        "V12",
        "a hold has no deadline",
        SEATS,
        &[(
            "                viewer.seat = Seat::Held { until };\n                has_held = true;",
            "                viewer.seat = Seat::Held { until: Mono(u64::MAX) };\n                has_held = true;",
        )],
        &["5-V3", "I15"],
    ),
    // ---- The rest -------------------------------------------------------------------------------------------------------
    mutant("O1", "less than half is an outage", OUTAGE, &[("resting * 2 >= used", "resting * 3 >= used")], &["B12"]),
    mutant(
        "L1",
        "a rest of a minute",
        LIMITS,
        &[("pub const BREAKER_OPEN_MS: u64 = 120_000;", "pub const BREAKER_OPEN_MS: u64 = 60_000;")],
        &["B5", "timelines"],
    ),
    mutant(
        "L2",
        "a linger of ten seconds",
        LIMITS,
        &[("pub const LINGER_MS: u64 = 5_000;", "pub const LINGER_MS: u64 = 10_000;")],
        &["I6"],
    ),
    mutant(
        "L3",
        "eleven restarts a minute",
        LIMITS,
        &[("pub const RESTARTS_MAX: usize = 10;", "pub const RESTARTS_MAX: usize = 11;")],
        &["I1"],
    ),
    mutant(
        "L4",
        "a start may take 23 s",
        LIMITS,
        &[
            ("pub const START_TIMEOUT_MS: u64 = 20_000;", "pub const START_TIMEOUT_MS: u64 = 23_000;"),
            ("pub const SLATE_MS_MAX: u64 = 90_000;", "pub const SLATE_MS_MAX: u64 = 300_000;"),
        ],
        &["5-F", "timelines"],
    ),
    mutant(
        "L5",
        "a gap of two minutes",
        LIMITS,
        &[
            ("pub const GAP_MS: u64 = 60_000;", "pub const GAP_MS: u64 = 120_000;"),
            ("pub const SLATE_MS_MAX: u64 = 90_000;", "pub const SLATE_MS_MAX: u64 = 300_000;"),
        ],
        &["5-V3", "I15"],
    ),
    mutant(
        "L6",
        "a cooldown of 29 s",
        LIMITS,
        &[("pub const COOLDOWN_MS: u64 = 30_000;", "pub const COOLDOWN_MS: u64 = 29_000;")],
        &["I2", "G2", "timelines", "5-V retry"],
    ),
    mutant(
        "L7",
        "SIGKILL after three seconds",
        LIMITS,
        &[("pub const TERM_MS: u64 = 2_000;", "pub const TERM_MS: u64 = 3_000;")],
        &["5-K"],
    ),
    // ---- Several sources, and accounts -----------------------------------------------------------------------------
    mutant(
        "N1",
        "the first source that may start is the next, however often it failed",
        FAILOVER,
        &[("if best.is_none_or(|(least, _)| failures_len < least) {", "if best.is_none() && failures_len < 5 {")],
        &["S5", "S6"],
    ),
    mutant(
        "N2",
        "among equals the last source is the next",
        FAILOVER,
        &[(
            "if best.is_none_or(|(least, _)| failures_len < least) {",
            "if best.is_none_or(|(least, _)| failures_len <= least) {",
        )],
        &["S5"],
    ),
    mutant(
        "N3",
        "a source is chosen although others need its account",
        FAILOVER,
        &[("                Ok(_) if self.is_account_full(wish) => Deny::AccountFull,\n", "")],
        &["S1", "S5", "S10"],
    ),
    mutant(
        "N4",
        "one source that rests is told as if all did",
        FAILOVER,
        &[("(rests, at) < (known, of.ready_at)", "(!rests, at) < (!known, of.ready_at)")],
        &["S9", "S10"],
    ),
    mutant(
        "N5",
        "a stream that cannot be ended is not counted",
        FAILOVER,
        &[("            (Phase::Quarantined { account: Some(of), .. }, _) => of.id == account.id,\n", "")],
        &["S5", "S1", "S9", "S10"],
    ),
    mutant(
        "N6",
        "what nobody watches fills an account",
        FAILOVER,
        &[(
            "of.id == account.id && self.viewers_of(*index) > 0,",
            "of.id == account.id && *index != SlotIndex(u8::MAX),",
        )],
        &["S9", "S10", "S5"],
    ),
    mutant(
        "N7",
        "one stream more than is allowed",
        FAILOVER,
        &[("        if streams >= allowed {", "        if streams > allowed {")],
        &["assert", "S1"],
    ),
    mutant(
        "N8",
        "a stream that ended counts no more",
        FAILOVER,
        &[("streams + resting().count() < allowed", "streams + 0 * resting().count() < allowed")],
        &["S2"],
    ),
    mutant(
        "N9",
        "a stream counts for a quarter of its time after its end",
        FAILOVER,
        &[(
            "now.plus_ms(self.rules.account_rest_ms + jitter_ms)",
            "now.plus_ms(self.rules.account_rest_ms / 4 + jitter_ms)",
        )],
        &["S2"],
    ),
    mutant(
        "N10",
        "the end of one stream makes others forgotten",
        FAILOVER,
        &[("self.rests.retain(|(_, until)| *until > now)", "self.rests.clear()")],
        &["S2"],
    ),
    mutant(
        "N11",
        "what nobody watches does not end for who needs its stream",
        FAILOVER,
        &[("                self.preempt(now, idle, effects);\n", "                let _ = (idle, &effects);\n")],
        &["S10"],
    ),
    mutant(
        "N12",
        "what somebody watches ends for who needs its stream",
        FAILOVER,
        &[(
            "                    && slot.account().is_some_and(|of| of.id == account.id)\n                    && self.viewers_of(*index) == 0",
            "                    && slot.account().is_some_and(|of| of.id == account.id)\n                    && *index != SlotIndex(u8::MAX)",
        )],
        &["S8"],
    ),
    mutant(
        "N13",
        "a source that has failed is as good as one that is ready",
        FAILOVER,
        &[(
            "breakers.failures_len(since, wish.origin()) == 0\n                    && breakers",
            "breakers.failures_len(since, wish.origin()) < 5\n                    && breakers",
        )],
        &["S7"],
    ),
    mutant(
        "N14",
        "a source that rests is ready",
        FAILOVER,
        &[("                    && breakers.open(wish.origin()).is_none()\n", "")],
        &["S7"],
    ),
    mutant(
        "N15",
        "a source whose account is full is ready",
        FAILOVER,
        &[("                    && !self.is_account_full(wish)\n            })", "            })")],
        &["S7"],
    ),
    mutant(
        "N16",
        "who has just begun is given no more time than who is known",
        FAILOVER,
        &[("{ new_ms } else { known_ms }", "{ known_ms } else { known_ms + 0 * new_ms }")],
        &["S7"],
    ),
    mutant(
        "N17",
        "segments are not waited for",
        FAILOVER,
        &[("least_ms.max(3 * attempt.silent_ms_max + 1_000)", "least_ms")],
        &["S7"],
    ),
    mutant(
        "N18",
        "who shows nothing is left although nobody takes over",
        FAILOVER,
        &[("if self.is_spare_ready(index, &attempt, now) {", "if self.viewers_of(index) > 0 {")],
        &["S7"],
    ),
    mutant(
        "N19",
        "who is slow is kept although another is ready",
        ATTEMPTS,
        &[(
            "(attempt.pace.is_slow(now) && self.is_spare_ready(index, attempt, now))",
            "(attempt.pace.is_slow(now) && attempt.pace != attempt.pace)",
        )],
        &["S7"],
    ),
    mutant(
        "N20",
        "who is slow is left although nobody takes over",
        ATTEMPTS,
        &[(
            "(attempt.pace.is_slow(now) && self.is_spare_ready(index, attempt, now))",
            "(attempt.pace.is_slow(now) && self.viewers_of(index) > 0)",
        )],
        &["S7"],
    ),
    mutant("N21", "segments are slow", PACE, &[("BEHIND_MS + burst_ms", "BEHIND_MS + 0 * burst_ms")], &["S7"]),
    mutant("N22", "who catches up stays slow", PACE, &[("            self.behind_since = None;\n", "")], &["S7"]),
    mutant(
        "N23",
        "no start is given up for another source",
        ATTEMPTS,
        &[(
            "if is_spare_ready { self.rules.failover_start_ms } else",
            "if is_spare_ready && attempt.judged { self.rules.failover_start_ms } else",
        )],
        &["S7"],
    ),
    mutant(
        "N24",
        "silence is held against who was not heard",
        POOL,
        &[("matches!(event, Event::Deadline | Event::Sweep)", "!matches!(event, Event::Leave { .. })")],
        &["S7"],
    ),
    mutant(
        "N25",
        "one source's breaker sends the viewers of all away",
        ATTEMPTS,
        &[(
            "if let Some(Deny::Open { until, failure }) = self.why_none(now, index) {",
            "if let Some((failure, until)) = self.gate.breakers().open(origin) {",
        )],
        &["S9"],
    ),
    mutant(
        "N26",
        "the first source's cooldown is everybody's",
        BREAKER,
        &[(
            "let restarted_at = self.get(origin).and_then(|breaker| breaker.restarted_at);",
            "let restarted_at = self.of_channel(origin.channel).filter_map(|(_, breaker)| breaker.restarted_at).max();",
        )],
        &["S6", "S9", "S10"],
    ),
    mutant(
        "N27",
        "a source is restarted coldly while only another has failed",
        GATE,
        &[(
            "None if self.breakers.has_failed(now, origin.channel) => Kind::Restart,",
            "None if self.breakers.failures_len(now, origin) > 0 => Kind::Restart,",
        )],
        &["S4", "assert"],
    ),
    mutant(
        "N28",
        "who may not start yet keeps a stream from others",
        FAILOVER,
        &[("        self.plays = self.plays.map(|plays| Wish { account: None, ..plays });\n", "")],
        &["S5", "S9", "S10"],
    ),
    mutant(
        "N29",
        "a raised limit is an error",
        POOL,
        &[("known.map(|of| usize::from(of.streams_max)).max()", "known.map(|of| usize::from(of.streams_max)).min()")],
        &["assert"],
    ),
];
