function cell(one, tiles) {
  const node = el("div", one.none ? "none muted" : "held");
  node.setAttribute("role", "cell");
  if (one.none) node.append(el("span", "", one.none), el("span", "num", one.about));
  else node.append(card(one, tiles), chooser(one.key, one.name));
  return node;
}

function top(heads) {
  const row = el("div", "row heads");
  row.setAttribute("role", "row");
  for (const one of heads) {
    const node = el("div", "column");
    node.setAttribute("role", "columnheader");
    node.title = one.about;
    node.style.borderColor = one.colour;
    node.append(el("span", "", one.name));
    row.append(node);
  }
  return row;
}

const shown = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const before = shown.get(root);
  shown.set(root, data.page);
  if (before && before !== data.page) root.scrollIntoView({ block: "start" });
  const table = el("div", "rows");
  table.style.setProperty("--columns", data.heads.length);
  table.setAttribute("role", "table");
  table.setAttribute("aria-label", data.said);
  table.append(top(data.heads));
  if (data.heads.length === 2 && data.rows.length > 1) {
    table.classList.add("double");
    const again = top(data.heads); // over the second half, where there is room for two rows a line
    again.setAttribute("aria-hidden", "true");
    again.classList.add("again");
    table.append(again);
  }
  for (const cells of data.rows) {
    const row = el("div", "row");
    row.setAttribute("role", "row");
    row.append(...cells.map((one) => cell(one, data.tiles)));
    table.append(row);
  }
  follow(root);
  const wrap = el("div", "wrap");
  wrap.append(table);
  const focused = root.getRootNode().activeElement?.getAttribute("aria-label");
  root.replaceChildren(...listHead(data, data.rows.flat().filter((one) => one.key)), wrap);
  if (data.pages > 1) root.append(pager(data, "pages, at the end"));
  if (focused) root.querySelector(`a[aria-label="${CSS.escape(focused)}"]`)?.focus();
}
