function card(data, tiles) {
  const node = link("card", data.href);
  node.setAttribute("aria-label", data.name);
  const sheet = el("img", "sheet");
  sheet.alt = "";
  sheet.decoding = "sync";
  sheet.style.aspectRatio = `${tiles[0]} / ${tiles[1]}`;
  if (data.sheet) sheet.src = data.sheet;
  const title = el("div", "title");
  title.append(el("span", "where", data.where), el("span", "num id", `#${data.id}`));
  const label = el("div", data.label ? "label" : "label muted", data.label || data.unlabelled);
  if (data.label) label.title = data.label;
  const facts = el("div", "facts");
  const density = el("span", "num muted", data.density);
  density.title = data.help.density;
  facts.append(meter(data.ms, data.msText, data.help.ms), density);
  node.append(sheet, title, label, facts);
  if (data.note) node.append(el("div", "note num muted", data.note));
  return node;
}

function at(page, of) {
  const to = new URL(location.href);
  to.searchParams.delete("page");
  to.searchParams.delete("of");
  if (page > 1) to.searchParams.set("page", page), to.searchParams.set("of", of);
  return to;
}

// First, last and the pages around this one; 0 stands for a gap.
function places(page, pages) {
  const near = [1, page - 1, page, page + 1, pages].filter((n) => n >= 1 && n <= pages);
  const shown = [...new Set(near)];
  return shown.flatMap((n, i) => (i && n - shown[i - 1] > 1 ? [0, n] : [n]));
}

function step(text, page, name, { pages, of }) {
  if (page < 1 || page > pages) return el("span", "step off", text);
  const node = link("step", at(page, of));
  node.textContent = text;
  node.setAttribute("aria-label", name);
  return node;
}

function pager(data) {
  const { page, pages } = data;
  const node = el("nav", "pager num");
  node.setAttribute("aria-label", "pages");
  node.append(step("←", page - 1, "previous page", data));
  for (const n of places(page, pages)) {
    const place = n ? step(String(n), n, `page ${n}`, data) : el("span", "step off", "…");
    if (n === page) place.setAttribute("aria-current", "page");
    node.append(place);
  }
  node.append(step("→", page + 1, "next page", data));
  return node;
}

const shown = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const before = shown.get(root);
  shown.set(root, data.page);
  if (before && before !== data.page) root.scrollIntoView({ block: "center" });
  const list = el("div", data.paired ? "cards paired" : "cards");
  list.setAttribute("role", "list");
  for (const one of data.cards) {
    const item = el("div");
    item.setAttribute("role", "listitem");
    item.append(card(one, data.tiles));
    list.append(item);
  }
  const focused = root.getRootNode().activeElement?.getAttribute("aria-label");
  const head = el("div", "head");
  head.append(el("span", "num", data.said), pager(data));
  root.replaceChildren(...(data.said || data.pages > 1 ? [head] : []), list);
  if (data.pages > 1 && data.cards.length > 8) root.append(pager(data));
  // Whoever pages by keyboard goes on from the same place.
  if (focused) root.querySelector(`a[aria-label="${CSS.escape(focused)}"]`)?.focus();
}
