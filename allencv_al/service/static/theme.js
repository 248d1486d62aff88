// The light and the dark look: the system's, unless the button of the page overrides it.

const KEY = "allencv-al-theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

const kept = localStorage.getItem(KEY);
if (kept === "light" || kept === "dark") root.dataset.theme = kept;

const current = () => root.dataset.theme ?? (system.matches ? "dark" : "light");
const other = () => (current() === "dark" ? "light" : "dark");

/** Return whether the page has its dark look. */
export const isDark = () => current() === "dark";

/** Let a button change the look; its text is the look that it changes to. */
export function listenToTheme(button) {
  const show = () => { button.textContent = other() === "dark" ? "Dark look" : "Light look"; };
  button.addEventListener("click", () => {
    root.dataset.theme = other();
    localStorage.setItem(KEY, root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  show();
}
