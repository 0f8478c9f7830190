// The states of the box of cardboard: each a function, so that nobody sees what another test has changed.

const NOW = () => Date.now();
const at = (secondsAgo) => new Date(NOW() - secondsAgo * 1000).toISOString().replace(/\.\d+Z/, "Z");

const free = (tuner) => ({
  tuner, state: "free", since_s: 5400, channel: null, source: 0, profile: null, path: null, viewers: [], held: 0, slate: null,
  health: "unknown", picture: "unknown", picture_since_s: null, attempt: 0, next_try_in_s: null, refuses: null, refuses_why: null, bits_per_s: 0,
  continuity_errors: 0, overtaken: 0,
});

const playing = (tuner, number, name, more = {}) => ({
  ...free(tuner), state: "playing", since_s: 1834, channel: { number, name }, path: "pull",
  viewers: [{ address: "192.168.1.40", since_s: 1830 }], health: "healthy", picture: "ok", picture_since_s: 1800,
  attempt: 1, bits_per_s: 6_840_000, ...more,
});

/** Nobody else gets in. */
const refusing = (code, refuses, more = {}) => ({ refuses, refuses_why: { code, streams: null, free_bytes: null, needed_bytes: null, retry_in_s: null, ...more } });

const BOARD = {
  model: "Raspberry Pi 4 Model B Rev 1.4", temperature_c: 52.4, throttled: false, under_voltage: false,
  memory_used_bytes: 412_000_000, memory_total_bytes: 3_979_000_000, memory_max_bytes: null, card_written_today_bytes: 1_870_000,
  clock_synced: true, link_mbit: 1000, cpu_percent: 11,
};

const CLIENTS = [
  { address: "192.168.1.12", name: "Plex", user_agent: "Plex Media Server", asked: "stream", asked_s_ago: 12, lineup_s_ago: 7300, requests: 812 },
  { address: "192.168.1.40", name: "Jellyfin", user_agent: "Jellyfin/10.10", asked: "lineup", asked_s_ago: 4000, lineup_s_ago: 4000, requests: 90 },
];

const ENCODERS = [
  { name: "h264_v4l2m2m", codec: "h264_v4l2m2m", hardware: true, state: "works", speed_percent: 320, start_ms: 400, says: null, rests_s: null, failures: 0, streams: 1 },
  { name: "software", codec: "libx264", hardware: false, state: "works", speed_percent: 92, start_ms: 172, says: null, rests_s: null, failures: 0, streams: 0 },
];

const base = "http://192.168.1.20";
const status = () => ({
  name: "Living room box", version: "0.6.0", device_id: "10A4B2C6", board: BOARD.model, model: "HDHR5-4US", uptime_s: 183_642,
  level: "good", sentence: "Ready. 412 channels, 2 of 4 tuners are free.", problems: [],
  addresses: { base, host_port: "192.168.1.20", lineup_m3u: `${base}/lineup.m3u`, guide: `${base}/xmltv.xml` },
  tuners: [
    playing(0, "5.1", "Das Erste HD"),
    playing(1, "7", "arte", {
      path: "sound", source: 1, since_s: 312, bits_per_s: 3_260_000,
      viewers: [{ address: "192.168.1.33", since_s: 300 }, { address: "192.168.1.12", since_s: 42 }],
    }),
    free(2), free(3),
  ],
  channels_len: 412, channels_ill: [], channels_ill_len: 0,
  playlist: { in_use: true, in_progress: false, found: 412, skipped: 3, first_skipped: null, loaded_at: at(7200) },
  clients: CLIENTS, encoders: ENCODERS, board_health: BOARD,
  capacity: { slots: 4, next: 4, board: 4, because: "board", text: "as many as this board is for", encodes: 2, measured: null },
  sources: [
    { id: 1, name: "Good Provider", kind: "xtream", state: "ok", error: null, entries: 9120, refreshed_at: at(7200), next_refresh_in_s: 21600, expires_at: at(-86400 * 41), streams: { used: 1, max: 2 } },
    { id: 2, name: "Roof aerial", kind: "hdhomerun", state: "ok", error: null, entries: 32, refreshed_at: at(3600), next_refresh_in_s: 80000, expires_at: null, streams: { used: 1, max: 4 } },
    { id: 3, name: "From a friend", kind: "upload", state: "ok", error: null, entries: 12, refreshed_at: at(86400 * 3), next_refresh_in_s: null, expires_at: null, streams: { used: null, max: null } },
  ],
});

const minutes = (shape) => Array.from({ length: 60 }, (_, index) => ({
  at: at((59 - index) * 60), ...shape(index),
}));
const calm = (index) => {
  const used = index < 14 ? 1 : index < 22 ? 0 : index < 30 ? 1 : index < 52 ? 2 : 2;
  return { tuners_used: used, viewers: used + (index > 55 ? 1 : 0), bitrate_bps: used * 5_000_000 + (index % 5) * 120_000, ill: 0 };
};
const stormy = (index) => ({
  tuners_used: Math.min(4, 1 + Math.floor(index / 12)), viewers: Math.min(6, 1 + Math.floor(index / 10)),
  bitrate_bps: 9_000_000 + (index % 7) * 600_000, ill: index < 40 ? 0 : Math.min(3, Math.floor((index - 38) / 5)),
});

const LOGS = [
  ["info", 42, "arte plays slot=1 generation=12 channel_id=7"],
  ["info", 312, "arte is restarted slot=1 channel_id=7"],
  ["warn", 330, "arte: it went silent slot=1 generation=11 channel_id=7 cause=stall"],
  ["info", 1834, "Das Erste HD plays slot=0 generation=9 channel_id=5"],
  ["info", 3600, "listing changed subscription=2 new=12 gone=3 renamed=1 moved=0 waits=false"],
  ["info", 7200, "guide loaded guide=1 channels=402 programmes=48211 too_far_away=0"],
  ["info", 7210, "playlist loaded channels=9120 left_out=3"],
  ["info", 183642, "tunerd 0.6.0 is ready as device 10A4B2C6 with 4 tuners"],
].map(([level, seconds, text], index) => ({ id: `log-${index}`, at: at(seconds), mono_ms: 0, level, channel_id: null, text })).reverse();

const subscriptions = () => [
  {
    id: 1, kind: "xtream", name: "Good Provider", address: "http://tv.provider.example", username: "anna", streams_max: null,
    held: false, enabled: true, ticked_only: true, from_settings: false, entries: 9120, loaded_at: at(7200), next_in_s: 21600, in_progress: false,
    progress: 0, skipped: 3, first_skipped: null, error: null, too_many: null, guides: [], hosts: [], headers: [], refresh_s: 28800,
    account: { status: "Active", expires_at: at(-86400 * 41), connections_max: 2 },
  },
  {
    id: 2, kind: "hdhomerun", name: "Roof aerial", address: "http://192.168.1.9", username: "", streams_max: 4,
    held: false, enabled: true, ticked_only: false, from_settings: false, entries: 32, loaded_at: at(3600), next_in_s: 80000, in_progress: false,
    progress: 0, skipped: 0, first_skipped: null, error: null, too_many: null, guides: [], hosts: [], headers: [], refresh_s: 86400,
    account: { status: "", expires_at: null, connections_max: null },
  },
];

const GROUPS = [["Germany", 142], ["Germany HD", 96], ["News", 44], ["Kids", 31], ["Sport", 210], ["Music", 58], ["Austria", 40], ["Switzerland", 52],
  ["Documentaries", 63], ["Films 24/7", 1800], ["World", 6584]].map(([name, entries]) => ({ name, entries, ticked: true, number_from: null }));

function answers() {
  return {
    "GET /status": ({ mock }) => mock.status,
    "GET /history": ({ mock }) => ({ minutes: minutes(mock.shape), tuners_len: mock.status.tuners.length }),
    "GET /logs": { items: LOGS, next: null },
    "GET /subscriptions": ({ mock }) => mock.subscriptions,
    "GET /neighbours": ({ mock }) => mock.neighbours ?? [],
    "POST /subscriptions": ({ mock, body }) => {
      if (!/^https?:\/\//.test(body.address ?? "http://")) return { refuse: 422, field: "address", detail: "an address begins with http:// or https://" };
      const id = mock.subscriptions.length + 1;
      mock.subscriptions.push({ ...subscriptions()[0], ...body, id, loaded_at: null, in_progress: true, progress: 35, entries: 2100, error: null, account: {} });
      return { created: { id } };
    },
    "GET /subscriptions/{id}": ({ mock, parts }) => {
      const one = mock.subscriptions.find(({ id }) => id === Number(parts[0]));
      if (!one) return { refuse: 404, detail: "there is no such thing" };
      // The second question finds it read, or not to be had.
      const answer = { ...one };
      if (one.in_progress) Object.assign(one, one.address?.includes("wrong") ? { in_progress: false, error: "it answers 404" } : { in_progress: false, progress: 100, entries: 9120, loaded_at: at(0) });
      return answer;
    },
    "DELETE /subscriptions/{id}": ({ mock, parts }) => { mock.subscriptions = mock.subscriptions.filter(({ id }) => id !== Number(parts[0])); },
    "PUT /subscriptions/{id}/playlist": () => ({ entries: 12 }),
    "GET /subscriptions/{id}/groups": () => GROUPS,
    "PUT /subscriptions/{id}/groups": ({ mock, body }) => {
      const wanted = GROUPS.filter(({ name }) => body.groups === null || body.groups.includes(name));
      mock.status.channels_len = wanted.reduce((sum, { entries }) => sum + entries, 0);
      mock.tell();
    },
    "GET /clients": ({ mock }) => mock.status.clients,
    "GET /settings": ({ mock }) => mock.settings,
    "PATCH /settings": ({ mock, body }) => Object.assign(mock.settings, body),
    "POST /tuners/{tuner}/free": ({ mock, parts }) => {
      mock.status.tuners[Number(parts[0])] = free(Number(parts[0]));
      mock.tell();
    },
    "POST /channels/{id}/retry": () => undefined,
    "POST /encoders/try": () => undefined,
  };
}

const box = (more = {}) => ({
  session: { claimed: true, claim_left_s: null, signed_in: true, scope: "admin", open: false },
  status: status(), answers: answers(), shape: calm, subscriptions: subscriptions(), settings: { name: "Living room box", time_zone: "Europe/Berlin" }, ...more,
});

const ill = (channel_id, number, name, more = {}) => ({
  channel_id, number, name, source: 0, state: "resting", failures: 5, last_failure: "connect", why: "it cannot be reached", needs_help: false,
  next_try_in_s: 252, ...more,
});

export const STATES = {
  /** All is well, two are watching. */
  well: () => box(),

  /** Fresh from the shop: nobody has claimed it, four demo channels. */
  new: () => box({
    session: { claimed: false, claim_left_s: 3312, signed_in: false, scope: "none", open: false },
    status: { ...status(), name: "tunerd", channels_len: 4, clients: [], sources: [], tuners: [free(0), free(1), free(2), free(3)], board_health: null, board: "generic" },
    subscriptions: [], shape: () => ({ tuners_used: 0, viewers: 0, bitrate_bps: 0, ill: 0 }),
    settings: { name: "tunerd", time_zone: "UTC" },
  }),

  /** Claimed, and this browser is not signed in. */
  locked: () => box({ session: { claimed: true, claim_left_s: null, signed_in: false, scope: "none", open: false } }),

  /** Everything at once: a provider is out, the account is full and ends soon, the board is hot. */
  storm: () => box({
    status: {
      ...status(), level: "ill", sentence: "There are 2 problems.",
      problems: [
        { topic: "upstream_outage", level: "critical", text: "6 channels of 3 providers fail at the same time: is the Internet down?", since: at(840), first: at(840), last: at(20), count: 4 },
        { topic: "pool_pressure", level: "warning", text: "all tuners are in use", since: at(300), first: at(9000), last: at(10), count: 3 },
      ],
      tuners: [
        playing(0, "5.1", "Das Erste HD", { health: "unhealthy", picture: "frozen", picture_since_s: 45, continuity_errors: 214, bits_per_s: 1_200_000, overtaken: 3 }),
        { ...playing(1, "7", "arte"), state: "starting", attempt: 4, bits_per_s: 0, held: 2, slate: "arte has no picture. Next try in 40 s.", next_try_in_s: 40, viewers: [1, 2, 3, 4, 5, 6].map((n) => ({ address: `192.168.1.${n + 30}`, since_s: 100 * n })) },
        { ...playing(2, "1002", "A channel with quite a long name, as providers like them (FHD) [backup] ᴴᴰ"), path: "encode", profile: "mobile", source: 2 },
        { ...free(3), state: "lost" },
      ],
      sources: status().sources.map((one) => (one.id === 1
        ? { ...one, state: "failed", error: "it refuses the login", expires_at: at(-86400 * 3 + 60), streams: { used: 2, max: 2 } }
        : { ...one, state: one.id === 2 ? "refreshing" : "off" })),
      channels_ill: [
        ill(7, "7", "arte", { state: "trying" }), ill(12, "12", "Sport 1", { failures: 5 }),
        ill(13, "13", "Camera at the door", { last_failure: "policy", needs_help: true, next_try_in_s: 0, failures: 1 }),
        ill(5, "5.1", "Das Erste HD", { state: "failing", failures: 2, last_failure: "stall", next_try_in_s: 0, source: 1 }),
      ], channels_ill_len: 11,
      board_health: { ...BOARD, temperature_c: 81.2, throttled: true, under_voltage: true, clock_synced: false, link_mbit: 10, memory_used_bytes: 3_800_000_000, card_written_today_bytes: 2_200_000_000 },
    },
    shape: stormy,
  }),

  /** Two tuners are free, and nobody gets them. */
  full: () => box({
    status: {
      ...status(), board_health: { ...BOARD, memory_max_bytes: 1_500_000_000 },
      capacity: { slots: 4, next: 2, board: 4, because: "processor", text: "because its processor carries no more", encodes: null, measured: null },
      tuners: [
        playing(0, "5.1", "Das Erste HD"), { ...playing(1, "7", "arte"), ...refusing("throttle", "the throttle is at work", { retry_in_s: 40 }) },
        { ...free(2), ...refusing("account", "this account allows 2 streams, and all are in use", { streams: 2 }) },
        { ...free(3), ...refusing("of-tomorrow", "the moon is full") },
      ],
    },
  }),

  /** Somebody who may look only. */
  reader: () => box({ session: { claimed: true, claim_left_s: null, signed_in: true, scope: "read", open: false } }),
};
