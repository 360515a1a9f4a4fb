// A classic script, run before the first paint, so that a chosen theme never flashes the other.
// Without a choice the page follows the system.
(() => {
  const chosen = localStorage.getItem("offhook.theme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
