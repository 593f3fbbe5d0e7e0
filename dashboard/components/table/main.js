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
    node.append(go);
  } else if (column.kind === "meter") node.append(meter(value.value, value.text, column.help));
  else node.append(el("span", "num", value));
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const node = el("table");
  const head = el("tr");
  for (const column of data.columns) {
    const title = el("th", `is-${column.kind}`, column.title);
    title.scope = "col";
    if (column.help) title.title = column.help;
    head.append(title);
  }
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
  root.replaceChildren(wrap);
}
