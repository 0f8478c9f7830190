// Before the first paint: the theme that was chosen, and that scripts are there. Where the page proper does not come
// after all, what is meant for readers without scripts is shown.
(function () {
  var root = document.documentElement;
  root.className = "scripts";
  try {
    if (localStorage.theme) root.dataset.theme = localStorage.theme;
  } catch (e) { /* then it is as the system says */ }
  setTimeout(function () { if (!root.dataset.live) root.className = ""; }, 4000);
})();
