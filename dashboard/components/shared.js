// Elements are made here and filled through textContent: captions and labels are data, not markup.
function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

// A link that opens in this tab through Streamlit, and in a new one by the browser's own means.
function link(className, href, open) {
  const node = el("a", className);
  node.setAttribute("href", href);
  node.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    open();
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
