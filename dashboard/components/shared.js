// Elements are made here and filled through textContent: captions and labels are data, not markup.
function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

// Go to an address of this app without loading the page anew: the address is set, and the event of
// the browser's own Back tells Streamlit to show it. Sends one message, and one entry of history.
function visit(href, { replace = false } = {}) {
  const to = new URL(href, location.href);
  if (replace) (window.loupeReplace ?? history.replaceState.bind(history))({}, "", to);
  else (window.loupePush ?? history.pushState.bind(history))({}, "", to);
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

// A link of the app; with a modifier key the browser opens it in its own way.
function link(className, href) {
  const node = el("a", className);
  node.setAttribute("href", href);
  node.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    visit(href);
  });
  return node;
}

// MS (or any share from 0 to 1) as a small bar with its number.
function meter(value, text, help) {
  const node = el("span", "meter");
  if (help) node.title = help;
  const track = el("span", "track");
  const fill = el("span", "fill");
  fill.style.width = `${Math.max(0, Math.min(1, value ?? 0)) * 100}%`;
  track.append(fill);
  node.append(track, el("span", "num", text));
  return node;
}

// From words to pictures: of all that is there the share on pictures, in the colour of each side.
// Where it is not known, the bar is empty.
function balance({ value, text, help, colours }) {
  const node = el("span", "meter balance");
  node.title = help;
  const track = el("span", "track");
  if (value !== null) {
    const fill = el("span", "fill");
    fill.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`;
    [fill.style.background, track.style.background] = colours;
    track.append(fill);
  }
  node.append(track, el("span", "num", text));
  return node;
}

// The features that the visitor has chosen, on whatever page, as "DICTIONARY:ID". The tab keeps
// them; the tray shows them.
const CHOSEN = "loupe-chosen";
const MOST_CHOSEN = 200;
const chosen = {
  keys: () => JSON.parse(sessionStorage.getItem(CHOSEN) ?? "[]"),
  set(keys) {
    sessionStorage.setItem(CHOSEN, JSON.stringify(keys.slice(0, MOST_CHOSEN)));
    window.dispatchEvent(new Event(CHOSEN));
  },
  put(some, on) {
    const rest = chosen.keys().filter((key) => !some.includes(key));
    chosen.set(on ? [...rest, ...some] : rest);
  },
};

// A box that chooses the feature `key`; it follows what other boxes and the tray do.
function chooser(key, name) {
  const box = el("input", "choose");
  box.type = "checkbox";
  box.dataset.key = key;
  box.checked = chosen.keys().includes(key);
  box.title = "choose this feature";
  box.setAttribute("aria-label", `choose ${name}`);
  box.addEventListener("change", () => chosen.put([key], box.checked));
  return box;
}

// Keeps the boxes below `root` as the tray has them, as long as `root` is in the page.
function follow(root) {
  if (root.follows) return;
  root.follows = () => {
    if (!root.isConnected) {
      window.removeEventListener(CHOSEN, root.follows);
      root.follows = null;
      return;
    }
    const keys = new Set(chosen.keys());
    for (const box of root.querySelectorAll("input.choose")) box.checked = keys.has(box.dataset.key);
  };
  window.addEventListener(CHOSEN, root.follows);
}
