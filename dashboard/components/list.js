// What lists of features have in common: their head, their pages, and choosing all of one.
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

function pager(data, name = "pages") {
  const { page, pages } = data;
  const node = el("nav", "pager num");
  node.setAttribute("aria-label", name);
  node.append(step("←", page - 1, "previous page", data));
  for (const n of places(page, pages)) {
    const place = n ? step(String(n), n, `page ${n}`, data) : el("span", "step off", "…");
    if (n === page) place.setAttribute("aria-current", "page");
    node.append(place);
  }
  node.append(step("→", page + 1, "next page", data));
  return node;
}

// What is said of the list, a button that chooses all of it, and the pager.
function listHead(data, items) {
  const head = el("div", "head");
  const said = el("span", "num said", data.said);
  if (items.length > 1) said.append(chooseAll(items));
  head.append(said, pager(data));
  return data.said || data.pages > 1 ? [head] : [];
}

// Chooses every card in sight, or lets go of them if all are chosen.
function chooseAll(cards) {
  const button = el("button", "all", "choose all here");
  button.addEventListener("click", () => {
    const keys = cards.map((one) => one.key);
    const held = new Set(chosen.keys());
    chosen.put(keys, !keys.every((key) => held.has(key)));
  });
  return button;
}
