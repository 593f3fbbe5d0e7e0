const shown = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const before = shown.get(root);
  shown.set(root, data.page);
  if (before && before !== data.page) root.scrollIntoView({ block: "center" });
  const list = el("div", "cards");
  list.setAttribute("role", "list");
  for (const one of data.cards) {
    const item = el("div");
    item.setAttribute("role", "listitem");
    item.append(card(one, data.tiles), chooser(one.key, one.name));
    list.append(item);
  }
  follow(root);
  const focused = root.getRootNode().activeElement?.getAttribute("aria-label");
  root.replaceChildren(...listHead(data, data.cards), list);
  if (data.pages > 1 && data.cards.length > 8) root.append(pager(data, "pages, at the end"));
  // Whoever pages by keyboard goes on from the same place.
  if (focused) root.querySelector(`a[aria-label="${CSS.escape(focused)}"]`)?.focus();
}
