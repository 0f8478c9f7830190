// The states of the box of cardboard: each a function, so that nobody sees what another test has changed.

const NOW = () => Date.now();
const at = (secondsAgo) => new Date(NOW() - secondsAgo * 1000).toISOString().replace(/\.\d+Z/, "Z");

const free = (tuner) => ({
  tuner, state: "free", since_s: 5400, channel: null, source: 0, profile: null, path: null, viewers: [], held: 0, slate: null,
  health: "unknown", picture: "unknown", picture_since_s: null, attempt: 0, next_try_in_s: null, bits_per_s: 0,
  continuity_errors: 0, overtaken: 0,
});

const playing = (tuner, number, name, more = {}) => ({
  ...free(tuner), state: "playing", since_s: 1834, channel: { number, name }, path: "pull",
  viewers: [{ address: "192.168.1.40", since_s: 1830 }], health: "healthy", picture: "something", picture_since_s: 1800,
  attempt: 1, bits_per_s: 6_840_000, ...more,
});

const BOARD = {
  model: "Raspberry Pi 4 Model B Rev 1.4", temperature_c: 52.4, throttled: false, under_voltage: false,
  memory_used_bytes: 412_000_000, memory_total_bytes: 3_979_000_000, card_written_today_bytes: 1_870_000,
  clock_synced: true, link_mbit: 1000, cpu_percent: 11,
};

const CLIENTS = [
  { address: "192.168.1.12", name: "Plex", user_agent: "Plex Media Server", asked: "stream", asked_s_ago: 12, lineup_s_ago: 7300, requests: 812 },
  { address: "192.168.1.40", name: "Jellyfin", user_agent: "Jellyfin/10.10", asked: "lineup", asked_s_ago: 4000, lineup_s_ago: 4000, requests: 90 },
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
  clients: CLIENTS, encoders: [], board_health: BOARD,
  sources: [
    { id: 1, name: "Good Provider", kind: "xtream", state: "ok", channels_len: 380, refreshed_at: at(7200), next_refresh_at: at(-21600), expires_at: at(-86400 * 41), streams: { used: 1, max: 2 } },
    { id: 2, name: "Roof aerial", kind: "hdhomerun", state: "ok", channels_len: 32, refreshed_at: at(3600), next_refresh_at: at(-80000), expires_at: null, streams: { used: 1, max: 4 } },
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
  ["info", 42, "viewer admitted slot=1 channel=7 peer=192.168.1.12 viewers=2"],
  ["info", 312, "slot started slot=1 channel=7 source=1 path=sound"],
  ["info", 1834, "slot started slot=0 channel=5.1 source=0 path=pull"],
  ["info", 3600, "listing refreshed subscription=2 entries=32 new=0 gone=0"],
  ["info", 7200, "listing refreshed subscription=1 entries=9120 new=12 gone=3"],
  ["warn", 7210, "guide refreshed guide=1 programmes=48211 unmatched=14"],
].map(([level, seconds, text], index) => ({ id: `log-${index}`, at: at(seconds), mono_ms: 0, level, channel_id: null, text }));

function answers() {
  return {
    "GET /status": ({ mock }) => mock.status,
    "GET /history": ({ mock }) => ({ minutes: minutes(mock.shape), tuners_len: mock.status.tuners.length }),
    "GET /logs": { items: LOGS, next: null },
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
  status: status(), answers: answers(), shape: calm, settings: { name: "Living room box", time_zone: "Europe/Berlin" }, ...more,
});

export const STATES = {
  /** All is well, two are watching. */
  well: () => box(),
};
