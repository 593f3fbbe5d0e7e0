function cell(column, row) {
  const value = row[column.key];
  const node = el(column.kind === "link" ? "th" : "td", `is-${column.kind}`);
  if (column.kind === "link") {
    node.scope = "row";
    const go = link("go", row.href);
    if (row.colour) {
      const dot = el("span", "dot");
      dot.style.background = row.colour;
      go.append(dot);
    }
    go.append(value);
    if (row.key) node.append(chooser(row.key, row.name));
    if (row.spoken) {
      const said = el("q", "sheet spoken", row.spoken);
      said.title = row.spoken;
      go.prepend(said);
    } else if (row.sheet) {
      const sheet = el("img", "sheet");
      sheet.alt = "";
      sheet.src = row.sheet;
      go.prepend(sheet);
    }
    node.append(go);
  } else if (column.kind === "meter") node.append(meter(value.value, value.text, column.help));
  else if (column.kind === "balance") node.append(value ? balance(value) : "");
  else {
    const text = el("span", "num", value?.text ?? value);
    if (column.kind === "text") text.title = value;
    if (value?.help) text.title = value.help;
    node.append(text);
  }
  return node;
}

// A column's title; where it can be sorted by, a press puts that into the address.
function title(column, order) {
  const node = el("th", `is-${column.kind}`);
  node.scope = "col";
  if (column.help) node.title = column.help;
  if (!order || !column.sort) {
    node.textContent = column.title;
    return node;
  }
  const sorted = order.by === column.sort;
  const to = new URL(location.href);
  to.searchParams.set("sort", column.sort);
  // The first press shows high numbers first and names from A on; the next turns it round.
  const first = ["label", "feature id"].includes(column.sort) ? "low" : "high";
  to.searchParams.set("order", `${sorted ? (order.descending ? "low" : "high") : first} first`);
  const go = link("sort", to.href);
  go.textContent = column.title;
  go.append(el("span", "way", sorted ? (order.descending ? "↓" : "↑") : ""));
  if (sorted) node.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
  node.append(go);
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const node = el("table");
  const head = el("tr");
  head.append(...data.columns.map((column) => title(column, data.order)));
  const top = el("thead");
  top.append(head);
  const body = el("tbody");
  for (const row of data.rows) {
    const line = el("tr", row.first ? "first" : "");
    line.append(...data.columns.map((column) => cell(column, row)));
    body.append(line);
  }
  node.append(top, body);
  const wrap = el("div", "wrap");
  wrap.append(node);
  if (!node.querySelector("a, button")) {
    // A table that can be scrolled is reached by keyboard: by its links, or itself.
    Object.assign(wrap, { tabIndex: 0, role: "region", ariaLabel: data.columns.map((column) => column.title).join(", ") });
  }
  const features = data.rows.filter((row) => row.key);
  root.replaceChildren(...listHead(data, features), wrap);
  if (features.length) follow(root);
  if (data.pages > 1) root.append(pager(data, "pages, at the end"));
}
