// What stands around a map: its tools and counts above, its legend below.

function showLegend(map, root, head) {
  map.legend = head;
  const node = el("div", "legend");
  const title = el("span", "title", head.title);
  if (head.help) title.title = head.help;
  node.append(title);
  const own = (code) => `rgb(${legible(head.table[code], groundOf(root)).join(" ")})`;
  const paints = []; // what takes its colours anew on another ground
  const swatch = (name, colour) => {
    const item = el("span", "item");
    const dot = el("span", "dot");
    paints.push(() => { dot.style.background = colour(); });
    item.append(dot, name);
    return item;
  };
  head.names.forEach((name, i) => node.append(swatch(name, () => own(i))));
  if (!head.names.length) {
    const scale = el("span", "scale");
    const bar = el("span", "ramp");
    const stops = head.table.map((_, i) => i).filter((i) => i % 23 === 0);
    paints.push(() => { bar.style.background = `linear-gradient(90deg, ${stops.map(own).join(", ")})`; });
    const ticks = el("span", "ticks num muted");
    for (const [at, text] of head.ticks) {
      const tick = el("span", "tick", text);
      tick.style.left = `${at * 100}%`;
      ticks.append(tick);
    }
    scale.append(bar, ticks);
    node.append(scale);
  }
  if (head.arrays.some((codes) => codes.includes(UNKNOWN))) node.append(swatch(head.unknown, () => head.grey));
  head.show = () => paints.forEach((paint) => paint());
  head.show();
  node.append(el("span", "hint muted", "drag to move · wheel to zoom · shift-drag to select · double click for all"));
  root.replaceChildren(node);
  colour(map);
}

function showBar(map, root, data) {
  map.tiles = data.tiles;
  map.word = data.word;
  map.found = data.found?.map(rowsOf) ?? null;
  obey(map);
  if (root.firstChild) return;
  const node = el("div", "bar");
  map.count = el("span", "num count");
  map.count.setAttribute("aria-live", "polite");
  const tool = (text, name, act) => {
    const button = el("button", "tool", text);
    button.title = name;
    button.setAttribute("aria-label", name);
    button.addEventListener("click", () => act(button));
    return button;
  };
  const every = (act) => map.panels.filter((panel) => panel.view).forEach(act);
  map.clear = tool("Clear", "clear the selection (Escape)", () => clear(map));
  const lasso = tool("Lasso", "select by drawing around points (or hold shift)", (button) => {
    map.lasso = !map.lasso;
    button.setAttribute("aria-pressed", map.lasso);
    map.stage?.classList.toggle("lasso", map.lasso);
  });
  lasso.setAttribute("aria-pressed", map.lasso);
  const size = el("span", "group");
  size.append(
    tool("−", "zoom out", () => every((panel) => glide(map, panel, { ...panel.view, k: panel.view.k / 1.8 }))),
    tool("+", "zoom in", () => every((panel) => glide(map, panel, { ...panel.view, k: panel.view.k * 1.8 }))),
    tool("All", "show all points", () => every((panel) => whole(map, panel))),
  );
  node.append(map.count, map.clear, lasso, size);
  root.replaceChildren(node);
  tell(map);
}

// How the points that stand out in a panel came to: by hand, as matches of those, or by a search.
const wordFor = (map, panel) =>
  map.selection?.found ? map.word : map.panels[map.selection?.panel] === panel ? "selected" : "match";

function tell(map) {
  const said = (panel) => {
    const all = `${NUMBER.format(panel.shown ?? 0)} features`;
    if (map.path ? map.path.panel !== panel : !map.selection) return all;
    if (panel.apart) return `${all}, not linked`;
    return `${NUMBER.format(panel.count)} of ${all} ${map.path ? "selected" : wordFor(map, panel)}`;
  };
  for (const panel of map.panels) if (panel.said.textContent !== said(panel)) panel.said.textContent = said(panel);
  if (!map.count) return;
  const from = map.path ? [map.path.panel] : !map.selection ? [] : map.selection.found ? map.panels : [map.panels[map.selection.panel]];
  const count = from.reduce((sum, panel) => sum + panel.count, 0);
  const text = from.length ? `${NUMBER.format(count)} ${map.path ? "selected" : wordFor(map, from[0])}` : "";
  if (map.count.textContent !== text) map.count.textContent = text;
  map.clear.hidden = !map.selection || map.selection.found;
}
