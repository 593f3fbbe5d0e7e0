// A caption of `captions.rows`: tokens on a ground as strong as they are, the strongest underlined.
// Needs heat.js for the colours; `top` is the activation that has the last of them.
function stretch([text, act, strongest], { top, stops }) {
  if (!act) return document.createTextNode(text);
  const node = el("mark", strongest ? "token strongest" : "token", text);
  paintToken(node, act / top, stops);
  node.title = `activation ${act.toFixed(3)}`;
  return node;
}

function paintToken(node, t, stops) {
  node.style.setProperty("--act", `rgb(${colour(stops, t).join(" ")})`);
  node.style.setProperty("--part", `${Math.round(25 + 75 * Math.min(1, t))}%`);
}

// What folds away on one side: an ellipsis stands for it.
function folded(parts, left, scale) {
  const node = el("span", "folded");
  node.hidden = true;
  node.append(...parts.map((part) => stretch(part, scale)));
  if (left) node.append(el("span", "muted", ` … ${left.toLocaleString("en")} letters … `));
  return node;
}

function caption(one, scale) {
  const node = el("div", "caption");
  const said = el("div", "said");
  said.dir = "auto";
  const ends = [folded(one.before, 0, scale), folded(one.after, one.end, scale)];
  if (one.start) ends[0].prepend(el("span", "muted", `${one.start.toLocaleString("en")} letters … `));
  if (one.unread) ends[1].append(el("span", "muted unread", one.unread));
  const dots = ends.map((end) => el("span", "dots muted", end.childNodes.length ? "…" : ""));
  said.append(ends[0], dots[0], ...one.shown.map((part) => stretch(part, scale)), dots[1], ends[1]);
  if (!one.shown.some(([text]) => text.trim())) said.append(el("span", "muted", "(no words)"));
  node.append(said);
  if (one.whole) node.append(wholeBar(one, scale));
  if (dots.some((each) => each.textContent)) node.append(unfold(one, ends, dots));
  return node;
}

// One vector of all of the caption: one bar.
function wholeBar(one, { top, stops }) {
  const track = el("div", "whole");
  const fill = el("div", "token");
  fill.style.width = `${100 * Math.max(0, Math.min(1, one.act / top))}%`;
  paintToken(fill, one.act / top, stops);
  track.title = `activation ${one.text}, of the caption as a whole`;
  track.append(fill);
  return track;
}

function unfold(one, ends, dots) {
  const button = el("button", "more", "more");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-label", `more of caption ${one.rank}`);
  button.addEventListener("click", () => {
    const open = ends[0].hidden;
    for (const each of ends) each.hidden = !open;
    for (const each of dots) each.hidden = open;
    button.textContent = open ? "less" : "more";
    button.setAttribute("aria-expanded", open);
  });
  return button;
}
