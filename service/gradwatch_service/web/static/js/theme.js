// Before anything is drawn: the theme somebody chose; without a choice, the system's.
const chosen = localStorage.getItem("gradwatch-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
