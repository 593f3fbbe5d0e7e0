function head(one, scope) {
  const node = el("th", "head");
  node.scope = scope;
  const dot = el("span", "dot");
  dot.style.background = one.colour;
  const name = el("span", "name", one.name);
  node.title = one.name;
  node.append(dot, name);
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const table = el("table", "num");
  table.append(el("caption", "muted", data.said));
  const top = el("tr");
  top.append(el("td"), ...data.heads.map((one) => head(one, "col")));
  table.append(top);
  data.cells.forEach((cells, i) => {
    const row = el("tr");
    row.append(head(data.heads[i], "row"));
    for (const cell of cells) {
      const node = el("td", "cell", cell.text);
      node.title = cell.about;
      if (cell.shade !== null) {
        // Never more than 55 %: text stays readable on it.
        const share = Math.round(55 * Math.max(0, Math.min(1, cell.shade)));
        node.style.background = `color-mix(in srgb, var(--accent) ${share}%, transparent)`;
      }
      row.append(node);
    }
    table.append(row);
  });
  const wrap = el("div", "wrap");
  wrap.tabIndex = 0;
  wrap.setAttribute("role", "region");
  wrap.setAttribute("aria-label", data.said);
  wrap.append(table);
  root.replaceChildren(wrap);
}
