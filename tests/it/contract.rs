//! The API as programs know it: what `openapi.json` tells of each answer is true.
//!
//! What is at stake: programs are written by the document alone. Each operation is called on a real daemon, and what
//! comes back is judged by the document that it serves, more strictly than by the letter: a field that it does not
//! tell is a fault, too. `tools/api-test` asks more, and at random.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::kit::{Daemon, Setup, http};
use serde_json::{Value, json};

/// A daemon, its document, and which answers were seen.
struct Contract {
    daemon: Daemon,
    document: Value,
    seen: RefCell<BTreeSet<String>>,
}

impl Contract {
    /// Calls an operation by its path in the document, with what stands for each `{…}`.
    fn call(&self, request: &str, parts: &[u64], body: &Value) -> (u16, Value) {
        let (method, path) = request.split_once(' ').unwrap();
        let (template, query) = path.split_once('?').unwrap_or((path, ""));
        let mut pieces = template.split(['{', '}']);
        let mut target = pieces.next().unwrap().to_owned();
        for part in parts {
            pieces.next().expect("a part for each brace");
            target = format!("{target}{part}{}", pieces.next().unwrap());
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, template, &format!("{target}?{query}"), "application/json", body.as_bytes())
    }

    /// The same with a target and a body as they are.
    fn ask(&self, method: &str, template: &str, target: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        let answer = self.daemon.send(&format!("{method} /api/v1{target}"), content_type, body);
        let status = answer.status;
        let what = format!("{method} {target} {status}");
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let told = self.find(&operation["responses"][status.to_string()]);
        assert!(told.is_object(), "{what} is not told: {}", answer.text());
        self.seen.borrow_mut().insert(format!("{method} {template} {status}"));
        let Some(content) = told["content"].as_object() else {
            assert_eq!(answer.text(), "", "{what}");
            return (status, Value::Null);
        };
        let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
        let told = content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not told"));
        if !kind.ends_with("json") {
            return (status, Value::Null);
        }
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        self.judge(&told["schema"], &value).unwrap_or_else(|why| panic!("{what}: {why}, in {value}"));
        (status, value)
    }

    /// What a `$ref` leads to.
    fn find<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.find(self.document.pointer(&reference[1..]).expect(reference)),
            None => schema,
        }
    }

    /// Judges by as much of JSON Schema as the document uses.
    fn judge(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.find(schema);
        if let Some(either) = schema["oneOf"].as_array() {
            let fits = either.iter().filter(|schema| self.judge(schema, value).is_ok()).count();
            return if fits == 1 { Ok(()) } else { Err(format!("{value} fits {fits} of {schema}")) };
        }
        let is_one = |name: &str| match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no such type: {other}"),
        };
        let is_typed = match &schema["type"] {
            Value::Null => true,
            Value::Array(names) => names.iter().any(|name| is_one(name.as_str().unwrap())),
            name => is_one(name.as_str().unwrap()),
        };
        let is_listed = schema["enum"].as_array().is_none_or(|known| known.contains(value));
        let number = value.as_i64();
        let is_in = number.is_none_or(|number| {
            schema["minimum"].as_i64().is_none_or(|least| least <= number)
                && schema["maximum"].as_i64().is_none_or(|most| number <= most)
        });
        let is_time = match (schema["format"].as_str(), value.as_str()) {
            (Some("date-time"), Some(text)) => text.len() == 20 && &text[10..11] == "T" && text.ends_with('Z'),
            _ => true,
        };
        if !(is_typed && is_listed && is_in && is_time) {
            return Err(format!("{value} is no {schema}"));
        }
        for item in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
            self.judge(&schema["items"], item)?;
        }
        let Some(fields) = value.as_object().filter(|_| schema["properties"].is_object()) else { return Ok(()) };
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            fields.get(name).ok_or_else(|| format!("there is no {name}"))?;
        }
        for (name, field) in fields {
            let told = schema["properties"].get(name).ok_or_else(|| format!("nobody tells of {name}"))?;
            self.judge(told, field).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }
}

#[test]
fn answers_are_as_the_document_tells_them() {
    let daemon = Setup::new().start();
    daemon.wait_for_lineup();
    let document = serde_json::from_slice(&daemon.get("/api/v1/openapi.json").body).unwrap();
    let contract = Contract { daemon, document, seen: RefCell::default() };
    let call = |request: &str, parts: &[u64], body: Value, status| {
        let (found, value) = contract.call(request, parts, &body);
        assert_eq!(found, status, "{request} {parts:?}: {value}");
        value
    };
    let nothing = || Value::Null;
    let id = |added: &Value| added["id"].as_u64().unwrap();

    // Something of everything, so that lists have items.
    let list = id(&call("POST /subscriptions", &[], json!({"kind": "upload", "name": "List"}), 201));
    let one = "#EXTINF:-1 tvg-id=\"one\" group-title=\"News\",One\nhttp://127.0.0.1:9/1.ts\n";
    let upload = |text: String| {
        let (template, target) = ("/subscriptions/{id}/playlist", format!("/subscriptions/{list}/playlist"));
        contract.ask("PUT", template, &target, "audio/x-mpegurl", text.as_bytes()).0
    };
    assert_eq!(upload(format!("#EXTM3U\n{one}")), 200);
    assert_eq!(upload(format!("#EXTM3U\n{one}{}", one.replace("One", "Two").replace("1.ts", "2.ts"))), 200);
    let far = json!({"kind": "playlist", "address": "http://127.0.0.1:9/list.m3u", "enabled": false});
    let far = id(&call("POST /subscriptions", &[], far, 201));
    call("POST /guides", &[], json!({"address": "http://127.0.0.1:9/guide.xml"}), 204);
    let face = id(&call("POST /faces", &[], json!({"name": "Kids"}), 201));
    let guide = id(&call("GET /guides", &[], nothing(), 200)["guides"][0]);

    let plain = [
        "/openapi.json",
        "/status",
        "/history",
        "/alarms",
        "/clients",
        "/neighbours",
        "/subscriptions",
        "/guides",
        "/guides/matches",
        "/programmes",
        "/settings",
        "/update",
        "/support",
        "/faces",
    ];
    for path in plain {
        call(&format!("GET {path}"), &[], nothing(), 200);
    }
    // Its answer goes on.
    let (head, _) = http::open(contract.daemon.address(), 8080, "/api/v1/events");
    assert!(
        contract.document["paths"]["/events"]["get"]["responses"]["200"]["content"]["text/event-stream"].is_object()
    );
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    contract.seen.borrow_mut().insert("GET /events 200".to_owned());

    let lines = call("GET /logs?limit=5&level=info", &[], nothing(), 200);
    let line = lines["items"][0]["id"].as_str().unwrap();
    assert_eq!(contract.ask("GET", "/logs/{log_id}", &format!("/logs/{line}"), "", b"").0, 200);
    call("GET /logs?limit=0", &[], nothing(), 422);
    let channels = call("GET /channels?limit=1&search=o", &[], nothing(), 200);
    let channel = id(&channels["items"][0]);

    call("GET /subscriptions/{id}", &[list], nothing(), 200);
    call("GET /subscriptions/{id}/groups", &[list], nothing(), 200);
    call("GET /subscriptions/{id}/entries?limit=1", &[list], nothing(), 200);
    let batch = call("GET /subscriptions/{id}/changes", &[list], nothing(), 200)[0]["batch"].as_u64().unwrap();
    call("GET /subscriptions/{id}/changes/{batch}", &[list, batch], nothing(), 200);
    call("PUT /subscriptions/{id}/groups", &[list], json!({"groups": ["News"]}), 204);
    call("PUT /subscriptions/{id}/ranges", &[list], json!({"group": "News", "number_from": 500}), 204);
    call("POST /subscriptions/{id}/undo", &[list], nothing(), 204);
    call("POST /subscriptions/{id}/refresh", &[list], nothing(), 422);
    call("PATCH /subscriptions/{id}", &[far], json!({"name": "Far", "streams_max": 1, "enabled": true}), 204);
    call("POST /subscriptions/{id}/refresh", &[far], nothing(), 204);
    call("POST /subscriptions/{id}/cancel", &[far], nothing(), 204);
    for decision in ["approve", "refuse"] {
        let (status, _) = contract.call(&format!("POST /subscriptions/{{id}}/{decision}"), &[far], &nothing());
        assert!((400..500).contains(&status), "nothing waits to be {decision}d");
    }
    call("POST /subscriptions/refresh", &[], nothing(), 204);
    call("GET /channels/groups", &[], nothing(), 200);
    call("PATCH /channels", &[], json!({"channels": [channel], "mark": "favorite"}), 204);
    call("POST /channels/{id}/retry", &[channel], nothing(), 204);
    // This box encodes nothing.
    call("POST /channels/{id}/preview", &[channel], nothing(), 424);
    call("POST /channels/{id}/preview", &[4_000_000_000], nothing(), 404);
    call("GET /preview/{id}/index.m3u8", &[1], nothing(), 404);
    call("DELETE /preview/{id}", &[1], nothing(), 404);
    assert_eq!(contract.ask("GET", "/preview/{id}/{segment}", "/preview/1/0.ts", "", b"").0, 404);
    call("PUT /channels/{id}/guide", &[channel], json!({"chosen": "none"}), 204);
    call("POST /encoders/try", &[], nothing(), 204);
    call("POST /tuners/{tuner}/free", &[0], nothing(), 204);
    call("POST /tuners/{tuner}/free", &[99], nothing(), 404);
    call("PATCH /settings", &[], json!({"name": "TV", "time_zone": "Europe/Berlin"}), 204);
    let (channel_of, hour) = ("https://updates.example/stable.json", 4);
    call("PATCH /settings", &[], json!({"update_channel": channel_of, "update_hour": hour}), 204);
    call("PATCH /settings", &[], json!({"update_channel": "file:///etc/passwd"}), 422);
    // Here is nothing to install into.
    assert_eq!(contract.ask("POST", "/update", "/update", "application/octet-stream", b"no bundle").0, 409);
    call("POST /update/install", &[], json!({"address": "channel"}), 409);
    call("POST /update/install", &[], json!({"address": "file:///etc/passwd"}), 422);
    for what in ["check", "cancel", "back", "reboot"] {
        call(&format!("POST /update/{what}"), &[], nothing(), 409);
    }
    call("POST /factory-reset", &[], json!({"password": "x"}), 409);
    call("GET /settings", &[], nothing(), 200);
    call("PATCH /guides/{id}", &[guide], json!({"offset_minutes": 60}), 204);
    call("POST /guides/{id}/refresh", &[guide], nothing(), 204);
    call("GET /guides/{id}/channels", &[guide], nothing(), 200);
    call("POST /guides/refresh", &[], nothing(), 204);
    call("PATCH /faces/{id}", &[face], json!({"tuners": 1, "first": 10}), 204);
    call("GET /guides/matches?limit=1", &[], nothing(), 200);

    let words = "lantern orbit mustard 7";
    let (old, new) = (json!({"password": words}), "copper meadow violin 9");
    call("GET /session", &[], nothing(), 200);
    call("POST /session", &[], old.clone(), 409);
    call("POST /claim", &[], json!({"password": "short"}), 422);
    call("POST /claim", &[], old.clone(), 201);
    call("POST /claim", &[], old.clone(), 409);
    call("POST /session", &[], old, 204);
    call("POST /session", &[], json!({"password": "wrong"}), 401);
    call("PUT /password", &[], json!({"old": words, "new": new}), 204);
    call("DELETE /session", &[], nothing(), 204);
    let token = id(&call("POST /tokens", &[], json!({"name": "ctl", "scope": "read"}), 201));
    call("GET /tokens", &[], nothing(), 200);
    call("DELETE /tokens/{id}", &[token], nothing(), 204);

    call("GET /neighbours", &[], nothing(), 200);
    call("POST /backup", &[], json!({"password": new}), 200);
    assert_eq!(contract.ask("POST", "/restore", "/restore", "application/octet-stream", b"no backup").0, 422);
    let before = call("GET /configurations", &[], nothing(), 200)[0]["revision"].as_u64().unwrap();
    call("POST /configurations/{id}/restore", &[before], nothing(), 200);
    call("POST /configurations/{id}/restore", &[999_999], nothing(), 404);

    let target = json!({"url": "http://127.0.0.1:9/SECRET42", "name": "Nobody"});
    let told = id(&call("POST /notifications", &[], target, 201));
    call("POST /notifications", &[], json!({"url": "gopher://x"}), 422);
    call("GET /notifications", &[], nothing(), 200);
    call("PATCH /notifications/{id}", &[told], json!({"events": ["storm"], "enabled": false}), 204);
    call("POST /notifications/{id}/test", &[told], nothing(), 200);
    call("DELETE /notifications/{id}", &[told], nothing(), 204);
    call("GET /doctor", &[], nothing(), 200);
    call("POST /doctor", &[], nothing(), 202);
    call("POST /doctor", &[], nothing(), 409);
    call("GET /doctor", &[], nothing(), 200);
    call("DELETE /doctor", &[], nothing(), 204);

    // What is refused, and how.
    call("GET /subscriptions/{id}", &[4_000_000_000], nothing(), 404);
    call("PATCH /faces/{id}", &[face], json!({"tuners": 0}), 422);
    call("PATCH /faces/{id}", &[face], json!(["Name", 1]), 422);
    call("POST /guides", &[], json!({"address": "file:///etc/passwd"}), 422);
    let (status, told) = contract.call("POST /subscriptions", &[], &json!({"name": "x".repeat(300 * 1024)}));
    assert_eq!((status, &told["status"]), (413, &json!(413)));

    call("DELETE /faces/{id}", &[face], nothing(), 204);
    call("DELETE /guides/{id}", &[guide], nothing(), 204);
    call("DELETE /subscriptions/{id}", &[list], nothing(), 204);
    call("DELETE /subscriptions/{id}", &[list], nothing(), 404);

    let paths = contract.document["paths"].as_object().unwrap().iter();
    let methods = ["get", "post", "put", "patch", "delete"];
    let all = paths.flat_map(|(path, item)| methods.map(|method| (method, path, &item[method])));
    let seen = contract.seen.borrow();
    for (method, path, _) in all.filter(|(_, _, operation)| operation.is_object()) {
        let name = format!("{} {path} ", method.to_uppercase());
        assert!(seen.iter().any(|seen| seen.starts_with(&name)), "nobody has called {name}");
    }
}
