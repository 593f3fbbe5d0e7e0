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
  if (replace) history.replaceState({}, "", to);
  else history.pushState({}, "", to);
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
