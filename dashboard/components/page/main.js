// Streamlit puts a choice into the address in place of the one before, so that Back would leave the
// page. A choice that the visitor makes is an entry of its own; what Streamlit puts right by itself
// is not. Nor does it take the choices out of an entry that the visitor leaves by a link.
function remember() {
  if (window.loupeReplace) return;
  window.loupeReplace = history.replaceState.bind(history);
  let made = -Infinity;
  let left = -Infinity;
  const note = (event) => {
    if (event.altKey || event.metaKey) return;
    const leads = event.composedPath().some((node) => node.tagName === "A");
    made = leads ? -Infinity : performance.now();
    left = leads ? performance.now() : -Infinity;
  };
  for (const kind of ["pointerup", "keydown"]) window.addEventListener(kind, note, true);
  window.addEventListener("popstate", () => (made = left = -Infinity), true);
  const push = history.pushState.bind(history);
  window.loupePush = (...entry) => {
    made = left = -Infinity; // the choice, or the page, has its entry
    push(...entry);
  };
  const chooses = (url) => {
    const to = new URL(url ?? location.href, location.href);
    return to.pathname === location.pathname && to.search !== location.search;
  };
  const leaves = () => performance.now() - left < 3000;
  history.pushState = (state, title, url) => {
    if (!chooses(url) || !leaves()) window.loupePush(state, title, url);
  };
  history.replaceState = (state, title, url) => {
    const to = new URL(url ?? location.href, location.href);
    const chosen = chooses(url);
    if (chosen && leaves()) return;
    if (chosen && performance.now() - made < 3000) {
      history.pushState(state, title, to);
    } else window.loupeReplace(state, title, url);
  };
}

// Escape folds a popover, or a dialog, and takes its fields away, of which Streamlit learns what was
// typed only once they are left: they are left first.
function keepTyped() {
  if (window.loupeKeepsTyped) return;
  window.loupeKeepsTyped = true;
  window.addEventListener("keydown", (event) => {
    const at = document.activeElement;
    if (event.key !== "Escape" || !at?.matches("input, textarea")) return;
    if (at.closest('[data-testid="stPopoverBody"], [role="dialog"]')) at.blur();
  }, true);
}

export default function ({ setStateValue, parentElement }) {
  const root = parentElement.querySelector(".root");
  if (root.dataset.told) return;
  root.dataset.told = "yes";
  remember();
  keepTyped();
  setStateValue("there", true);
}
