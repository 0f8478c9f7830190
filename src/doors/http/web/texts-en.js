// English words of the page. The same keys stand in texts-de.js, in the same order; a test compares them.
// `{name}` is filled in; `{one, other}` is chosen by `n`; `**strong**` works where the view uses rich().

export default {
  // ---- Numbers and times
  "time.now": "just now",
  "time.ago": "{span} ago",
  "time.seconds": "{n} s",
  "time.minutes": "{n} min",
  "time.hours": "{n} h {minutes} min",
  "time.days": { one: "{n} day", other: "{n} days" },
  "unit.mbit": "{value} Mbit/s",

  // ---- The shell
  "nav.title": "Pages",
  "nav.skip": "Skip to the content",
  "nav.waiting": "need attention",
  "menu.title": "Looks and language",
  "menu.theme": "Theme",
  "menu.auto": "As the system",
  "menu.light": "Light",
  "menu.dark": "Dark",
  "menu.language": "Language",
  "do.close": "Close",
  "do.yes": "Yes",
  "do.ok": "OK",
  "do.cancel": "Cancel",
  "do.save": "Save",
  "do.copy": "Copy",
  "do.copied": "Copied",
  "do.back": "Back",
  "do.next": "Next",
  "do.retry": "Try again",
  "no.answer": "The box did not answer. Try again.",
  "no.signin": "Sign in first.",
  "no.right": "You may look, but not change anything.",
  "no.changed": "Somebody else changed this meanwhile. Look at it again, then repeat your change.",
  "no.often": "Too many tries. Wait {span}.",
  "no.other": "That did not work ({status}).",
  "offline.text": "The box has not answered for {span}. Is it on? This page keeps asking.",
  "offline.old": "The box has not answered for {span}. Below is what it said last.",
  "signin.title": "Sign in",
  "signin.why": "Only its owner may see and change this box.",
  "signin.password": "Password",
  "signin.do": "Sign in",
  "signin.wrong": "That is not the password.",
  "signin.out": "Sign out",
  "signin.lost": "Forgotten? Somebody at the box itself can set a new one.",
  "signin.lineup": "Only want to watch? The channels are here.",

  // ---- Home
  "home.title": "Home",

  // ---- First run
  "setup.title": "Set up",

  // ---- Channels
  "channels.title": "Channels",

  // ---- Sources
  "sources.title": "Sources",

  // ---- Guide
  "guide.title": "Guide",

  // ---- System
  "system.title": "System",
};
