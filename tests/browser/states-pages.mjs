// What the mock answers for Channels, Sources, Guide and System: "METHOD /path/{template}" to a value, or a function of
// {mock, body, query, parts}. undefined is 204, {created} is 201, {refuse: 422, detail, field} a no.
//
// It keeps what it is told, as the box does: what was hidden is hidden, and an earlier configuration can be brought back.

const at = (secondsAgo) => new Date(Date.now() - secondsAgo * 1000).toISOString().replace(/\.\d+Z/, "Z");
const HALF_HOUR_MS = 1_800_000;

const NAMES = ["Das Erste HD", "ZDF HD", "3sat HD", "arte", "BBC One HD", "BBC Two HD", "ITV1", "Channel 4", "France 2", "RAI 1", "TVE", "NRK1", "SVT1", "DR1", "Eurosport 1", "KiKA", "Phoenix", "tagesschau24", "CNN International", "Bloomberg"];
const GROUPS = ["News", "General", "Sports", "Children", "Culture"];
const SHOWS = ["Evening news", "The long way home", "Cooking with Ana", "Football: cup final", "Weather", "The lighthouse keeper's daughter", "Nature: deep forests", "Late talk", "A quiet village", "Science in ten minutes", "Morning show", "Rerun of the week"];

const channel = (index) => ({
  id: 100 + index, number: index < 3 ? `5.${index + 1}` : String(index + 1), name: `${NAMES[index % NAMES.length]}${index < NAMES.length ? "" : ` +${Math.floor(index / NAMES.length)}`}`,
  group: GROUPS[index % GROUPS.length], logo: "", mark: index === 1 ? "favorite" : index === 6 ? "hidden" : "plain",
  listed_name: index === 3 ? "DE: ARTE HD (1080p)" : null, listed_group: null, moved: index === 4,
  sources: [{ subscription_id: 1, name: NAMES[index % NAMES.length] }, ...(index === 0 ? [{ subscription_id: 2, name: "Das Erste" }, { subscription_id: 1, name: "Das Erste SD" }] : [])],
});

const subscription = (more) => ({
  id: 1, kind: "playlist", name: "", address: "", username: "", user_agent: null, headers: [], proxy: null, hosts: [], refresh_s: 43200,
  streams_max: null, held: false, enabled: true, ticked_only: false, from_settings: false, entries: 0, loaded_at: null, next_in_s: null,
  in_progress: false, progress: 0, skipped: 0, first_skipped: null, error: null, too_many: null,
  account: { status: "", expires_at: null, connections_max: null }, guides: [], ...more,
});

const fresh = () => ({
  revision: 41, nextId: 10, channels: Array.from({ length: 412 }, (_, index) => channel(index)), choices: {}, kept: [], tests: 0,
  subscriptions: [
    subscription({
      id: 1, kind: "xtream", name: "Good Provider", address: "http://provider.example:8080/", username: "anna", entries: 9120, loaded_at: at(7200), next_in_s: 36000, held: true, ticked_only: true, skipped: 3,
      first_skipped: "line 812: no address", account: { status: "Active", expires_at: at(-86400 * 41), connections_max: 2 }, guides: ["http://provider.example:8080/xmltv.php?username=•••"], user_agent: "VLC/3.0.20", headers: ["Referer"],
    }),
    subscription({ id: 2, kind: "hdhomerun", name: "Roof aerial", address: "http://192.168.1.21/", entries: 32, loaded_at: at(3600), next_in_s: 39600, streams_max: 4 }),
    subscription({ id: 3, name: "Old list", address: "https://lists.example/tv.m3u?token=•••", entries: 210, loaded_at: at(86400 * 3), next_in_s: 600, error: "The server lists.example answers 403: it does not let us in. Has the address expired?" }),
  ],
  groups: [["News", 48, true, 100], ["General", 210, true, null], ["Sports", 96, true, 300], ["Children", 24, true, null], ["Culture", 34, true, null], ["DE: Pay TV", 620, false, null], ["UK: Regional", 1480, false, null], ["VOD", 6200, false, null], ["Adult", 408, false, null], ["", 12, false, null]]
    .map(([name, entries, ticked, number_from]) => ({ name, entries, ticked, number_from })),
  changes: { 1: [{ batch: 7, at: at(7200), state: "waiting", new: 12, gone: 3, renamed: 2, moved: 0, changed: 5 }, { batch: 6, at: at(90000), state: "applied", new: 4, gone: 0, renamed: 0, moved: 1, changed: 0 }] },
  guides: [
    { id: 1, address: "http://provider.example:8080/xmltv.php", named_by: "playlist", offset_minutes: 0, in_progress: false, fetched_at: at(7200), problem: null, channels: 380, programmes: 48211, left_out: { times_broken: 0, stops_broken: 14, outside: 320, doubled: 2, over: 0, nameless: 0, texts_cut: 0 }, hint: null },
    { id: 2, address: "https://guide.example/uk.xml.gz", named_by: "owner", offset_minutes: 60, in_progress: false, fetched_at: at(3000), problem: null, channels: 96, programmes: 9022, left_out: null, hint: "Its times tell no time zone, so they are taken for UTC. If its programmes come hours too early or too late, set an offset." },
    { id: 3, address: "https://gone.example/epg.xml", named_by: "owner", offset_minutes: 0, in_progress: false, fetched_at: null, problem: "There is no server gone.example.", channels: 0, programmes: 0, left_out: null, hint: null },
  ],
  faces: [
    { id: 0, name: "Living room box", device_id: "10A4B2C6", tuners: 4, channels: "all", groups: [], first: null, port: 80, listed: 405 },
    { id: 1, name: "Plex", device_id: "10A4B2D1", tuners: 2, channels: "groups", groups: ["News", "General"], first: 480, port: 5010, listed: 258 },
  ],
  configurations: [
    { revision: 41, at: at(300), what: "channels: 12 hidden" }, { revision: 40, at: at(4000), what: "subscription changed: Good Provider" },
    { revision: 39, at: at(90000), what: "face added: Plex" }, { revision: 38, at: at(200000), what: "guide moved by 60 minutes" },
  ],
  tokens: [{ id: 1, name: "Home Assistant", scope: "read", made_at: at(86400 * 20), used_at: at(40) }, { id: 2, name: "Backup script", scope: "admin", made_at: at(86400 * 3), used_at: null }],
  notifications: [
    { id: 1, name: "My phone", kind: "ntfy", last_error: null, url: "ntfys://ntfy.sh/•••", events: ["channel_ill", "source_expired", "storm", "outage"], enabled: true },
    { id: 2, name: "Family Discord", kind: "discord", last_error: "discord.com answers 404: there is no such webhook.", url: "discord://•••", events: ["outage", "outage_over"], enabled: false },
  ],
  doctor: { state: "none", started_at: null, checks_len: 20, checks: [] },
  logs: Array.from({ length: 60 }, (_, index) => ({
    id: `line-${index}`, at: at(3600 - index * 60), mono_ms: index * 60000, level: index % 17 === 5 ? "error" : index % 9 === 2 ? "warn" : index % 4 === 3 ? "debug" : "info",
    channel_id: null, text: index % 17 === 5 ? "source failed channel=7 source=0 cause=refused host=provider.example" : index % 9 === 2 ? "guide refreshed guide=1 programmes=48211 unmatched=14" : index % 4 === 3 ? "page fetched peer=192.168.1.40" : "viewer admitted slot=1 channel=7 peer=192.168.1.12 viewers=2",
  })),
});

const states = new WeakMap();
/** Of one mock, from one state to the next. */
function of(mock) {
  if (!states.has(mock.status)) states.set(mock.status, fresh());
  return states.get(mock.status);
}

/** Keeps the configuration as it was, and gives the new one a number. */
function changed(box, what) {
  box.kept.push([box.revision, JSON.stringify({ channels: box.before, subscriptions: box.beforeSubscriptions })]);
  box.revision += 1;
  box.configurations.unshift({ revision: box.revision, at: at(0), what });
}

function begin(mock) {
  const box = of(mock);
  box.before = structuredClone(box.channels);
  box.beforeSubscriptions = structuredClone(box.subscriptions);
  return box;
}

const match = (box, one, index) => ({
  channel_id: one.id, number: one.number, name: one.name, chosen: "automatic", offset_minutes: 0, offset_said_by: null,
  ...(index % 11 === 9
    ? { guide: null, guide_channel: null, guide_name: null, reason: null, confidence: 0, now_airing: null, programmes: 0 }
    : { guide: 1, guide_channel: `${one.name.toLowerCase().replaceAll(" ", "")}.de`, guide_name: one.name, reason: index % 3 ? "same-id" : "similar-name", confidence: index % 3 ? 100 : 82, now_airing: SHOWS[index % SHOWS.length], programmes: 168 }),
  ...box.choices[one.id],
});

const part = (list, query, usual = 100) => {
  const start = Number(query.get("after") ?? 0);
  const limit = Number(query.get("limit") ?? usual);
  return { items: list.slice(start, start + limit), next: start + limit < list.length ? start + limit : null };
};
const one = (list, id) => list.find((item) => String(item.id) === String(id));
const without = (list, id) => list.filter((item) => String(item.id) !== String(id));
const refuse = (detail, field) => ({ refuse: 422, detail, field });

function edit(box, { channels: ids, ...what }) {
  const chosen = ids.map((id) => one(box.channels, id)).filter(Boolean);
  if (what.number_from !== undefined) {
    if (!/^\d+(\.\d+)?$/.test(what.number_from)) return refuse("a number such as 100 or 5.1", "number_from");
    chosen.forEach((item, index) => { item.number = String(Number(what.number_from) + index); });
  }
  if (what.logo && !/^https?:/.test(what.logo)) return refuse("an address with http:// or https://, or null", "logo");
  for (const item of chosen) {
    for (const key of ["name", "group", "logo", "mark"]) if (what[key] !== undefined) item[key] = what[key] ?? item[`listed_${key}`] ?? "";
    if (what.replace) item.name = item.name.replace(what.replace[0], what.replace[1]);
    if (what.split) item.sources = item.sources.slice(0, 1);
    if (what.source_order) item.sources = what.source_order.map((place) => item.sources[place]);
  }
  if (what.merge) {
    chosen[0].sources.push(...chosen.slice(1).flatMap((item) => item.sources));
    box.channels = box.channels.filter((item) => item === chosen[0] || !chosen.includes(item));
  }
  if (what.move_behind !== undefined) {
    box.channels = box.channels.filter((item) => !chosen.includes(item));
    const place = what.move_behind ? box.channels.findIndex((item) => item.id === what.move_behind) + 1 : 0;
    box.channels.splice(place, 0, ...chosen);
  }
  return undefined;
}

const CHECKS = ["Plex", "Jellyfin", "Kodi", "Channels", "VLC"].flatMap((client, at_) => [
  { client, name: "Finds the box", outcome: "pass", took_ms: 12 + at_, detail: "answered on UDP 65001", fix: null },
  { client, name: "Reads the channels", outcome: "pass", took_ms: 41, detail: "412 channels", fix: null },
  { client, name: "Plays within six seconds", outcome: client === "Kodi" ? "fail" : "pass", took_ms: client === "Kodi" ? 6000 : 1180, detail: client === "Kodi" ? "no picture after six seconds on channel 7" : "first picture after 1.2 s", fix: client === "Kodi" ? "The source of channel 7 is slow. Give it a spare source, or ask the provider." : null },
  { client, name: "Changes the channel", outcome: client === "VLC" ? "skip" : "pass", took_ms: 800, detail: client === "VLC" ? "no second tuner was free" : null, fix: null },
]);

const PLACES = {
  "GET /channels/groups": ({ mock }) => [...new Set(of(mock).channels.map(({ group }) => group))].filter(Boolean).map((name) => ({ name, channels: 1 })),
  "GET /channels": ({ mock, query }) => {
    const search = (query.get("search") ?? "").toLowerCase();
    const group = query.get("group");
    const box = of(mock);
    const start = Number(query.get("after") ?? 0);
    const limit = Number(query.get("limit") ?? 100);
    const items = [];
    for (let index = start; index < box.channels.length; index += 1) {
      const item = box.channels[index];
      const fits = (group === null || item.group === group) && (!search || item.number === search || item.name.toLowerCase().includes(search));
      if (!fits) continue;
      if (items.length === limit) return { items, next: index };
      items.push(item);
    }
    return { items, next: null };
  },
  "PATCH /channels": ({ mock, body }) => {
    const box = begin(mock);
    const said = edit(box, body);
    if (!said) {
      changed(box, "channels");
      mock.status.channels_len = box.channels.length;
    }
    return said;
  },
  "PUT /channels/{id}/guide": ({ mock, body, parts }) => {
    const box = begin(mock);
    const { chosen, guide, guide_channel, offset_minutes } = body;
    const before = box.choices[parts[0]] ?? {};
    box.choices[parts[0]] = chosen === "none" ? { chosen, guide: null, guide_channel: null, now_airing: null }
      : chosen === "guide" ? { chosen, guide, guide_channel, guide_name: guide_channel, reason: "owner", confidence: 100, now_airing: "Late talk" }
        : chosen === "automatic" ? {} : { ...before, offset_minutes, offset_said_by: "owner" };
    changed(box, "guide of a channel");
  },
  "GET /guides/matches": ({ mock, query }) => {
    const box = of(mock);
    const after = query.get("after");
    const start = after === null ? 0 : box.channels.findIndex((item) => String(item.id) === after) + 1;
    const limit = Number(query.get("limit") ?? 500);
    const items = box.channels.slice(start, start + limit).map((item) => match(box, item, item.id - 100));
    return { items, next: start + limit < box.channels.length ? items.at(-1).channel_id : null };
  },

  "GET /subscriptions": ({ mock }) => of(mock).subscriptions.map((item) => tick(mock, item)),
  "POST /subscriptions": ({ mock, body }) => {
    const box = begin(mock);
    if (!["playlist", "upload", "xtream", "hdhomerun"].includes(body.kind)) return refuse("playlist, upload, xtream or hdhomerun", "kind");
    if (body.kind !== "upload" && !/^https?:\/\//.test(body.address ?? "")) return refuse("an address with http:// or https://", "address");
    const id = box.nextId++;
    box.subscriptions.push(subscription({ ...body, password: undefined, id, name: body.name || body.address?.split("/")[2] || "Playlist", in_progress: body.kind !== "upload", fails: /broken/.test(body.address ?? "") }));
    changed(box, "subscription added");
    return { created: { id } };
  },
  "GET /subscriptions/{id}": ({ mock, parts }) => {
    const found = one(of(mock).subscriptions, parts[0]);
    return found ? tick(mock, found) : { refuse: 404, detail: "There is nothing at this address." };
  },
  "PATCH /subscriptions/{id}": ({ mock, body, parts }) => {
    const box = begin(mock);
    if (body.proxy && !/^(http|socks5):/.test(body.proxy)) return refuse("http://host:port or socks5://host:port", "proxy");
    const { headers, password, ...plain } = body;
    const found = Object.assign(one(box.subscriptions, parts[0]), plain, headers ? { headers: Object.keys(headers) } : {});
    if (body.address) Object.assign(found, { in_progress: true, progress: 0, error: null, fails: /broken/.test(body.address) });
    changed(box, `subscription changed: ${found.name}`);
  },
  "DELETE /subscriptions/{id}": ({ mock, parts }) => {
    const box = begin(mock);
    box.subscriptions = without(box.subscriptions, parts[0]);
    changed(box, "subscription removed");
  },
  "POST /subscriptions/{id}/refresh": ({ mock, parts }) => { Object.assign(one(of(mock).subscriptions, parts[0]), { in_progress: true, progress: 0, error: null }); },
  "POST /subscriptions/{id}/cancel": ({ mock, parts }) => { Object.assign(one(of(mock).subscriptions, parts[0]), { in_progress: false, error: "It was stopped." }); },
  "PUT /subscriptions/{id}/playlist": ({ mock, parts }) => {
    Object.assign(one(of(mock).subscriptions, parts[0]), { entries: 2, loaded_at: at(0) });
    return { entries: 2 };
  },
  "GET /subscriptions/{id}/groups": ({ mock, parts }) => (parts[0] === "1" ? of(mock).groups : [{ name: "General", entries: 32, ticked: false, number_from: null }, { name: "News", entries: 8, ticked: false, number_from: null }]),
  "PUT /subscriptions/{id}/groups": ({ mock, body, parts }) => {
    const box = begin(mock);
    if (parts[0] === "1") for (const item of box.groups) item.ticked = body.groups === null || body.groups.includes(item.name);
    one(box.subscriptions, parts[0]).ticked_only = body.groups !== null;
    changed(box, "groups chosen");
  },
  "PUT /subscriptions/{id}/ranges": ({ mock, body }) => { of(mock).groups.find((item) => item.name === body.group).number_from = body.number_from; },
  "GET /subscriptions/{id}/changes": ({ mock, parts }) => of(mock).changes[parts[0]] ?? [],
  "GET /subscriptions/{id}/changes/{batch}": ({ query }) => part([
    ...Array.from({ length: 12 }, (_, index) => ({ before: null, after: `New channel ${index + 1}`, group: "General" })),
    ...["Sky News", "Travel", "QVC 2"].map((name) => ({ before: name, after: null, group: "General" })),
    { before: "Channel 4", after: "Channel 4 HD", group: "General" }, { before: "ITV1", after: "ITV1 HD", group: "General" },
  ], query),
  ...Object.fromEntries([["approve", "applied"], ["refuse", "refused"], ["undo", "undone"]].map(([verb, state]) => [`POST /subscriptions/{id}/${verb}`, ({ mock, parts }) => {
    const box = begin(mock);
    const set = (box.changes[parts[0]] ?? []).find((item) => item.state === (verb === "undo" ? "applied" : "waiting"));
    if (!set) return { refuse: 404, detail: "There is nothing at this address." };
    set.state = state;
    changed(box, `change set ${verb}`);
    return undefined;
  }])),

  "GET /guides": ({ mock }) => ({ guides: of(mock).guides, served: { bytes: 8_412_000, age_s: 2900, data_from: at(7200), channels: 380, programmes: 57_233, without_title: 0, without_description: 812, without_episode: 9000, overlaps_cut: 12, doubles_dropped: 2, matched: 375 }, refused: null }),
  "POST /guides": ({ mock, body }) => {
    const box = begin(mock);
    if (!/^https?:\/\//.test(body.address)) return refuse("the http:// or https:// address of a guide in the XMLTV format", "address");
    box.guides.push({ id: box.nextId++, address: body.address, named_by: "owner", offset_minutes: 0, in_progress: true, fetched_at: null, problem: null, channels: 0, programmes: 0, left_out: null, hint: null });
    changed(box, "guide added");
    return undefined;
  },
  "POST /guides/refresh": () => undefined,
  "POST /guides/{id}/refresh": () => undefined,
  "PATCH /guides/{id}": ({ mock, body, parts }) => {
    Object.assign(one(of(mock).guides, parts[0]), body);
    changed(begin(mock), "guide moved");
  },
  "DELETE /guides/{id}": ({ mock, parts }) => {
    const box = begin(mock);
    box.guides = without(box.guides, parts[0]);
    changed(box, "guide removed");
  },
  "GET /guides/{id}/channels": ({ query }) => NAMES.filter((name) => name.toLowerCase().includes((query.get("search") ?? "").toLowerCase())).map((name, index) => ({ id: `${name.toLowerCase().replaceAll(" ", "")}.tv`, names: [name], now_airing: index % 4 === 3 ? null : SHOWS[index] })),
  "GET /programmes": ({ mock, query }) => {
    const [from, to] = [Date.parse(query.get("from")), Date.parse(query.get("to"))];
    if (Number.isNaN(from) || Number.isNaN(to)) return refuse("a time", "from");
    const box = of(mock);
    const parted = part(box.channels.slice(0, 80), query, 40);
    return { ...parted, items: parted.items.map((item, row) => {
      const programmes = [];
      let start = Math.floor(from / HALF_HOUR_MS) * HALF_HOUR_MS - (row % 3) * 900_000;
      for (let index = 0; start < to; index += 1) {
        const stop = start + [1, 2, 1.5, 3, 0.5, 2][(index + row) % 6] * HALF_HOUR_MS;
        if (row % 11 !== 9 && stop > from) programmes.push({ start: new Date(start).toISOString(), stop: new Date(stop).toISOString(), title: SHOWS[(index + row * 5) % SHOWS.length], description: "Two old friends meet again at the sea, and find out that nothing is as it was." });
        start = stop;
      }
      return { channel_id: item.id, number: item.number, name: item.name, programmes };
    }) };
  },

  "GET /faces": ({ mock }) => of(mock).faces,
  "POST /faces": ({ mock, body }) => {
    const box = begin(mock);
    if (!body.name) return refuse("1 to 32 characters", "name");
    box.faces.push({ groups: [], ...body, id: box.nextId++, device_id: "10A4B2EE", port: 5011, listed: 405 });
    changed(box, "face added");
    return { created: { id: box.nextId } };
  },
  "PATCH /faces/{id}": ({ mock, body, parts }) => { Object.assign(one(of(mock).faces, parts[0]), body); },
  "DELETE /faces/{id}": ({ mock, parts }) => { of(mock).faces = without(of(mock).faces, parts[0]); },

  "GET /update": ({ mock }) => ({
    version: mock.status.version, how: "package", command: "sudo apt update && sudo apt install tunerd", system: null, board: null,
    development_keys: false, boot_slots: [], state: "idle", target: null, percent: null, on_trial: false, can_cancel: false,
    back: null, problem: null, available: null, asked_at: null, channel_problem: null, last: null, ...mock.update,
  }),
  "POST /update": () => ({ created: { version: "1.3" } }),
  "POST /update/{what}": () => undefined,
  "GET /configurations": ({ mock, query }) => part(of(mock).configurations, query, 50),
  "POST /configurations/{revision}/restore": ({ mock, parts }) => {
    const box = of(mock);
    const kept = box.kept.find(([revision]) => String(revision) === parts[0]);
    if (kept) Object.assign(box, JSON.parse(kept[1]));
    box.revision += 1;
    box.configurations.unshift({ revision: box.revision, at: at(0), what: `back to no. ${parts[0]}` });
  },
  "POST /backup": ({ body }) => (body?.password === "correct horse" ? { file: "tunerd backup" } : refuse("That is not the password.", "password")),
  "POST /factory-reset": ({ body }) => (body?.password === "correct horse" ? undefined : refuse("That is not the password.", "password")),
  "POST /restore": () => ({ restored: { channels: 412, subscriptions: 3, guides: 2, faces: 1 }, ignored: ["device id"] }),
  "PUT /password": ({ body }) => (body.old === "correct horse" ? (body.new.length < 10 ? refuse("A password has at least 10 characters.", "new") : undefined) : { refuse: 403, detail: "That is not the password." }),
  "GET /tokens": ({ mock }) => of(mock).tokens,
  "POST /tokens": ({ mock, body }) => {
    const box = of(mock);
    box.tokens.push({ id: box.nextId++, ...body, made_at: at(0), used_at: null });
    return { created: { id: box.nextId - 1, token: "tnr_9fK2mXq7LwBv4sTz8RcY1hNd6GpJ3aUe" } };
  },
  "DELETE /tokens/{id}": ({ mock, parts }) => { of(mock).tokens = without(of(mock).tokens, parts[0]); },
  "GET /notifications": ({ mock }) => of(mock).notifications,
  "POST /notifications": ({ mock, body }) => {
    if (!/^[a-z]+:/.test(body.url)) return refuse("an address such as https://…, ntfys://server/topic or smtp://…", "url");
    const box = begin(mock);
    box.notifications.push({ id: box.nextId++, kind: "mail", last_error: null, ...body, password: undefined });
    changed(box, "notification added");
    return { created: { id: box.nextId - 1 } };
  },
  "PATCH /notifications/{id}": ({ mock, body, parts }) => { Object.assign(one(of(mock).notifications, parts[0]), body); },
  "DELETE /notifications/{id}": ({ mock, parts }) => { of(mock).notifications = without(of(mock).notifications, parts[0]); },
  "POST /notifications/{id}/test": ({ parts }) => (parts[0] === "2" ? { delivered: false, detail: "discord.com answers 404: there is no such webhook." } : { delivered: true, detail: "It was taken." }),
  "POST /doctor": ({ mock }) => { of(mock).doctor = { state: "running", started_at: at(0), checks_len: CHECKS.length, checks: [] }; },
  "DELETE /doctor": ({ mock }) => { of(mock).doctor.state = "stopped"; },
  "GET /doctor": ({ mock }) => {
    const { doctor } = of(mock);
    if (doctor.state === "running") {
      doctor.checks = CHECKS.slice(0, doctor.checks.length + 7);
      if (doctor.checks.length === CHECKS.length) doctor.state = "done";
    }
    return doctor;
  },
  "GET /logs": ({ mock, query }) => {
    const order = ["error", "warn", "info", "debug"];
    const least = order.indexOf(query.get("level") ?? "debug");
    const search = (query.get("search") ?? "").toLowerCase();
    if (query.get("channel") && !/^\d+(\.\d+)?$/.test(query.get("channel"))) return refuse("the number of a channel in the lineup, such as 5.1", "channel");
    const { logs } = of(mock);
    const start = query.get("after") ? logs.findIndex((line) => line.id === query.get("after")) + 1 : 0;
    return { items: logs.slice(start).filter((line) => order.indexOf(line.level) <= least && line.text.includes(search)).slice(-Number(query.get("limit") ?? 100)), next: null };
  },
  "GET /support": () => "tunerd 0.6.0\nno secrets inside\n",
};

/** Each look at one that is being read brings it further, unless the test wants to do something meanwhile. */
function tick(mock, item) {
  if (!item.in_progress || mock.isHeld) return item;
  item.progress += 40;
  if (item.progress >= 100) {
    Object.assign(item, { in_progress: false, progress: 0 }, item.fails
      ? { error: "There is no server broken.example." }
      : { entries: 40, loaded_at: at(0), next_in_s: 43200, guides: ["http://lists.example/guide.xml"], error: null, account: item.kind === "xtream" ? { status: "Active", expires_at: at(-86400 * 90), connections_max: 1 } : item.account });
  }
  return item;
}

export const PAGES = PLACES;
