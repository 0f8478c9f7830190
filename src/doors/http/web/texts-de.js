// German words of the page; see texts-en.js.

export default {
  // ---- Numbers and times
  "time.now": "eben",
  "time.ago": "vor {span}",
  "time.seconds": "{n} s",
  "time.minutes": "{n} min",
  "time.hours": "{n} h {minutes} min",
  "time.days": { one: "{n} Tag", other: "{n} Tagen" },
  "unit.mbit": "{value} Mbit/s",

  // ---- The shell
  "nav.title": "Seiten",
  "nav.skip": "Zum Inhalt springen",
  "nav.waiting": "brauchen Aufmerksamkeit",
  "menu.title": "Aussehen und Sprache",
  "menu.theme": "Farben",
  "menu.auto": "Wie das System",
  "menu.light": "Hell",
  "menu.dark": "Dunkel",
  "menu.language": "Sprache",
  "do.close": "Schließen",
  "do.yes": "Ja",
  "do.ok": "OK",
  "do.cancel": "Abbrechen",
  "do.save": "Speichern",
  "do.copy": "Kopieren",
  "do.copied": "Kopiert",
  "do.back": "Zurück",
  "do.next": "Weiter",
  "do.retry": "Noch einmal",
  "no.answer": "Die Box hat nicht geantwortet. Versuchen Sie es noch einmal.",
  "no.signin": "Melden Sie sich zuerst an.",
  "no.right": "Sie dürfen alles ansehen, aber nichts ändern.",
  "no.changed": "Jemand anders hat das inzwischen geändert. Sehen Sie es noch einmal an und wiederholen Sie dann Ihre Änderung.",
  "no.often": "Zu viele Versuche. Warten Sie {span}.",
  "no.other": "Das hat nicht geklappt ({status}).",
  "offline.text": "Die Box antwortet seit {span} nicht. Ist sie an? Diese Seite fragt weiter.",
  "offline.old": "Die Box antwortet seit {span} nicht. Unten steht, was sie zuletzt gesagt hat.",
  "signin.title": "Anmelden",
  "signin.why": "Nur wem diese Box gehört, darf sie ansehen und ändern.",
  "signin.password": "Passwort",
  "signin.do": "Anmelden",
  "signin.wrong": "Das ist nicht das Passwort.",
  "signin.out": "Abmelden",
  "signin.lost": "Vergessen? Wer an der Box selbst sitzt, kann ein neues setzen.",
  "signin.lineup": "Nur fernsehen? Hier sind die Sender.",

  // ---- Home
  "home.title": "Start",

  // ---- First run
  "setup.title": "Einrichten",

  // ---- Channels
  "channels.title": "Sender",

  // ---- Sources
  "sources.title": "Quellen",

  // ---- Guide
  "guide.title": "Programm",

  // ---- System
  "system.title": "System",
};
