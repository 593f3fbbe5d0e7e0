const LEAST = 0.0001;
const percent = (share) => {
  if (share < LEAST) return "< 0.01 %";
  return share >= 0.995 ? "100 %" : `${Number((share * 100).toPrecision(2))} %`;
};
const shownPiece = (piece) => (piece.trim() ? piece.trim() : piece.includes("\n") ? "⏎" : "␣");

// The candidates of one token, as a small list that stands below it while it is pointed at.
function tip(token) {
  const node = el("div", "tip");
  node.setAttribute("role", "tooltip");
  const list = el("ol");
  for (const [piece, chance] of token.likely) {
    const row = el("li", piece === token.piece ? "this" : "");
    row.append(el("span", "", shownPiece(piece)), el("span", "num", percent(chance)));
    list.append(row);
  }
  node.append(list);
  if (token.found !== null) node.append(el("p", "", `unsteered gives it ${percent(token.found)}`));
  return node;
}

function word(token, at) {
  const names = ["tok", token.changed && "changed", token.odd && "odd", token.end && "end"];
  const node = el("span", names.filter(Boolean).join(" "), token.end && !token.piece ? "■" : token.piece.trimStart());
  Object.assign(node.dataset, at);
  node.setAttribute("role", "button");
  node.setAttribute("tabindex", "-1");
  node.setAttribute("aria-label", `${token.end && !token.piece ? "the end" : shownPiece(token.piece)}, ${percent(token.chance)}`);
  return node;
}

function column(one, data) {
  const node = el("section", one.name === data.steered ? "steered" : "");
  node.setAttribute("aria-label", one.title);
  const title = el("h3", "", one.title);
  title.title = one.about;
  const said = el("p", "said");
  said.dir = "auto";
  for (const [place, token] of one.tokens.entries()) {
    const blank = token.piece.slice(0, token.piece.length - token.piece.trimStart().length);
    said.append(blank, word(token, { column: one.name, place }));
  }
  if (!one.tokens.some((token) => token.piece.trim()) && one.none) said.append(el("span", "muted", one.none));
  if (one.tokens.length && !one.ended) said.append(el("span", "muted", data.finished ? " …" : " (stopped)"));
  const facts = el("div", "facts");
  for (const fact of one.facts) {
    const box = el("span", "", `${fact.name} `);
    box.title = fact.help;
    box.append(el("b", "num", fact.text));
    facts.append(box);
  }
  node.append(title, said, facts);
  return node;
}

function bar(share, least, colour) {
  const row = el("span", "bar");
  const fill = el("i");
  fill.style.width = `${100 * (share ?? 0)}%`;
  fill.style.background = colour;
  row.append(fill, el("span", "num", share === undefined && least >= LEAST ? `below ${percent(least)}` : percent(share ?? 0)));
  return row;
}

// The likeliest tokens at one place, before and after; of a column that is not steered its own.
function next(data, column, place) {
  const token = column.tokens[place];
  const node = el("div", "next");
  if (!token) return node;
  const pair = Boolean(token.before);
  const lead = column.tokens.slice(0, place).map((one) => one.piece).join("").trim();
  const title = el("h3", "", place ? "Next token after " : "First token");
  if (place) title.append(el("q", "", lead.length > 60 ? `…${lead.slice(-58)}` : lead));
  title.title = data.help;
  const key = el("span", "key");
  const names = pair ? ["unsteered", "steered"] : [column.title.toLowerCase()];
  const colours = pair ? data.colours : [data.colours[column.name === "unsteered" ? 0 : 1]];
  names.forEach((name, i) => {
    const one = el("span", "", name);
    one.style.setProperty("--colour", colours[i]);
    key.append(one);
  });
  title.append(key);
  const sides = (pair ? [token.before, token.likely] : [token.likely]).map((side) => new Map(side));
  const best = new Map();
  for (const side of sides) for (const [piece, chance] of side) best.set(piece, Math.max(chance, best.get(piece) ?? 0));
  const order = [...best].sort((a, b) => b[1] - a[1]).filter(([, share], i) => i < 3 || (share >= LEAST && i < 10));
  const list = el("div", "pairs");
  for (const [piece] of order) {
    const row = el("div", "pair");
    const bars = el("span", "two");
    sides.forEach((side, i) => {
      bars.append(bar(side.get(piece), Math.min(...side.values()), colours[i]));
    });
    row.append(el("span", piece === token.piece ? "piece this" : "piece", shownPiece(piece)), bars);
    list.append(row);
  }
  node.append(title, list);
  return node;
}

function choose(root, data, name, place, focus) {
  const of = data.columns.find((one) => one.name === name);
  if (!of?.tokens[place]) return;
  root.at = { name, place };
  for (const node of root.querySelectorAll(".tok")) {
    const on = node.dataset.column === name && Number(node.dataset.place) === place;
    node.classList.toggle("on", on);
    node.setAttribute("tabindex", on ? "0" : "-1");
    if (on && focus) node.focus();
  }
  root.querySelector(".next").replaceWith(next(data, of, place));
}

// Listeners are set once; what they act on is the data drawn last.
function listen(root) {
  const at = (event) => event.target.closest?.(".tok");
  const token = (node) => {
    const of = root.shown.columns.find((one) => one.name === node.dataset.column);
    return of.tokens[Number(node.dataset.place)];
  };
  const hide = () => root.querySelector(".tip")?.remove();
  const show = (node) => {
    hide();
    const box = tip(token(node));
    root.firstChild.append(box);
    const here = node.getClientRects()[0] ?? node.getBoundingClientRect();
    const whole = root.firstChild.getBoundingClientRect();
    box.style.left = `${Math.max(0, Math.min(here.left - whole.left, whole.width - box.offsetWidth))}px`;
    box.style.top = `${here.bottom - whole.top + 4}px`;
  };
  root.addEventListener("pointerover", (event) => (at(event) ? show(at(event)) : hide()));
  root.addEventListener("pointerleave", hide);
  root.addEventListener("focusin", (event) => at(event) && show(at(event)));
  root.addEventListener("focusout", hide);
  root.addEventListener("click", (event) => {
    const node = at(event);
    if (node) choose(root, root.shown, node.dataset.column, Number(node.dataset.place), true);
  });
  root.addEventListener("keydown", (event) => {
    const node = at(event);
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!node || !by || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(root, root.shown, node.dataset.column, Number(node.dataset.place) + by, true);
  });
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  if (!root.shown) listen(root);
  const same = root.shown && JSON.stringify(root.shown) === JSON.stringify(data);
  if (same) return;
  root.shown = data;
  const whole = el("div", "answers");
  const columns = el("div", "columns");
  columns.append(...data.columns.map((one) => column(one, data)));
  whole.append(columns, el("div", "next"));
  root.replaceChildren(whole);
  const first = data.columns.find((one) => one.name === data.steered) ?? data.columns[0];
  if (first) choose(root, data, first.name, first.opens, false);
}
