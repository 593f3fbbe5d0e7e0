function mark({ at, name, colour }) {
  const node = el("span", "mark");
  node.style.left = `${Math.max(0, Math.min(1, at)) * 100}%`;
  node.style.background = colour;
  node.title = `${name} ${at.toFixed(2)}`;
  return node;
}

function legend(rows) {
  const names = new Map(rows.flatMap((row) => row.marks.map((one) => [one.name, one.colour])));
  const node = el("div", "legend muted");
  for (const [name, colour] of names) {
    const swatch = el("span", "swatch");
    swatch.style.background = colour;
    const item = el("span", "item");
    item.append(swatch, name);
    node.append(item);
  }
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const title = el("h2", "", data.title);
  title.title = data.help;
  const list = el("div", "list");
  for (const row of data.rows) {
    const name = el("span", "name", row.name);
    name.title = row.name;
    const track = el("span", "track");
    const fill = el("span", "fill");
    fill.style.width = `${Math.max(0, Math.min(1, row.value ?? 0)) * 100}%`;
    track.append(fill, ...row.marks.map(mark));
    list.append(name, track, el("span", "num value", row.text));
  }
  if (!data.rows.length) list.append(el("p", "muted empty", data.empty));
  root.replaceChildren(title, list, legend(data.rows));
}
