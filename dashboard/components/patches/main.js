// One picture, or two side by side, with their patches; beside them the features that fire. Hovering
// or walking over patches lists the features of a patch; a feature shows where it fires.
const PICK = "pick"; // the feature chosen, in the address

function asked(data) {
  const id = Number.parseInt(new URL(location.href).searchParams.get(PICK) ?? "", 10);
  return data.features.some((f) => f.id === id) ? id : null;
}

// The address follows without a message to the server: nothing there depends on it.
function note(id) {
  const to = new URL(location.href);
  if (id === null) to.searchParams.delete(PICK);
  else to.searchParams.set(PICK, id);
  history.replaceState(history.state, "", to);
}

function largest(data, of) {
  return Math.max(1e-9, ...data.features.flatMap(of));
}

// For each picture the features of each patch, the strongest first.
function byPatch(data) {
  return data.pictures.map((_, at) => {
    const cells = new Map();
    for (const feature of data.features) {
      feature.heat[at].patches.forEach((patch, i) => {
        if (!cells.has(patch)) cells.set(patch, []);
        cells.get(patch).push({ feature, act: feature.heat[at].acts[i] });
      });
    }
    for (const list of cells.values()) list.sort((a, b) => b.act - a.act);
    return cells;
  });
}

function picture(data, at, view) {
  const of = data.pictures[at];
  const node = el("figure", "picture");
  const frame = el("div", "frame");
  frame.style.aspectRatio = of.aspect;
  const shown = el("img");
  shown.alt = of.name;
  shown.decoding = "sync";
  if (of.src) shown.src = of.src;
  frame.append(shown);
  const [left, top, right, bottom] = of.region.map((share) => 100 * share);
  const box = { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` };
  const heat = el("canvas", "heat");
  Object.assign(heat.style, box);
  frame.append(heat);
  let mark = null;
  if (of.mapped) {
    const [rows, columns] = data.grid;
    const layer = el("div", "layer");
    Object.assign(layer.style, box);
    Object.assign(layer, { tabIndex: 0 });
    layer.setAttribute("role", "application");
    layer.setAttribute("aria-label", `patches of ${of.name}: walk with the arrow keys`);
    mark = el("div", "mark");
    Object.assign(mark.style, { width: `${100 / columns}%`, height: `${100 / rows}%` });
    layer.append(mark);
    const under = (event) => {
      const r = layer.getBoundingClientRect();
      const inside = (v, n) => Math.max(0, Math.min(n - 1, Math.floor(v * n)));
      const row = inside((event.clientY - r.top) / r.height, rows);
      return row * columns + inside((event.clientX - r.left) / r.width, columns);
    };
    layer.addEventListener("pointermove", (event) => view.look(at, under(event)));
    layer.addEventListener("pointerleave", () => view.look(null));
    layer.addEventListener("click", (event) => view.pin(at, under(event)));
    layer.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      if (event.key === "Escape") view.pin(null);
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const now = view.pinned?.[0] === at ? view.pinned[1] : null;
      const to = now === null ? 0 : now + step;
      const sameRow = Math.abs(step) > 1 || Math.floor(to / columns) === Math.floor(now / columns);
      if (now === null || (to >= 0 && to < rows * columns && sameRow)) view.pin(at, to);
    });
    frame.append(layer);
  }
  const said = el("figcaption");
  said.append(el("span", "", of.title), el("span", "muted", of.note));
  node.append(frame, said);
  return { node, heat, mark };
}

function row(data, feature, bars, view) {
  const node = el("div", "row");
  const press = el("button", "feature");
  press.dataset.id = feature.id;
  const texts = bars.map(({ value, text, top }) => {
    const line = el("span", "line");
    const track = el("span", "track");
    const fill = el("span", "fill");
    fill.style.width = `${Math.max(0, Math.min(1, value / top)) * 100}%`;
    track.append(fill);
    line.append(track, el("span", "num act", text));
    return line;
  });
  const both = el("span", "bars");
  both.append(...texts);
  press.append(
    el("span", "num id", `#${feature.id}`),
    el("span", feature.label ? "name" : "name muted", feature.label || "no label"), both,
  );
  press.title = feature.where;
  press.addEventListener("click", () => view.choose(feature.id));
  press.addEventListener("pointerenter", () => view.preview(feature.id));
  press.addEventListener("pointerleave", () => view.preview(null));
  const open = link("open", feature.href);
  open.setAttribute("aria-label", `open feature ${feature.id}`);
  open.title = "open the feature";
  open.append("→");
  node.append(press, open);
  return node;
}

function number(value) {
  return value.toFixed(2);
}

function build(root, data) {
  const cells = byPatch(data);
  const ofImage = largest(data, (f) => f.acts.map((a) => a ?? 0));
  const ofPatch = largest(data, (f) => f.heat.flatMap((h) => h.acts));
  const byId = new Map(data.features.map((f) => [f.id, f]));
  const title = el("h2");
  const said = el("p", "muted said");
  said.setAttribute("aria-live", "polite");
  const list = el("div", "list");
  const view = {
    pinned: null, looked: null, chosen: asked(data), previewed: null,
    look(at, cell) { this.looked = at === null ? null : [at, cell]; this.listing(); },
    pin(at, cell) { this.pinned = at === null ? null : [at, cell]; this.looked = null; this.listing(); },
    choose(id) { this.chosen = this.chosen === id ? null : id; note(this.chosen); this.mapping(); },
    preview(id) { this.previewed = id; this.mapping(); },
    listing() {
      const now = this.looked ?? this.pinned;
      const key = now ? now.join() : "";
      shown.forEach(({ mark }, at) => {
        if (!mark) return;
        mark.classList.toggle("on", now?.[0] === at);
        if (now?.[0] !== at) return;
        const [, columns] = data.grid;
        mark.style.left = `${(100 * (now[1] % columns)) / columns}%`;
        mark.style.top = `${(100 * Math.floor(now[1] / columns)) / data.grid[0]}%`;
      });
      if (list.dataset.key === key) return;
      list.dataset.key = key;
      if (now) this.patch(now);
      else this.rest();
      list.scrollTop = 0;
      this.mapping();
    },
    patch([at, cell]) {
      const [, columns] = data.grid;
      const place = `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
      const found = cells[at].get(cell) ?? [];
      title.textContent = `Patch at ${place}`;
      said.textContent = found.length ? `${found.length} features fire here, the strongest first.` : "No feature fires here.";
      list.replaceChildren(...found.map(({ feature, act }) =>
        row(data, feature, [{ value: act, text: number(act), top: ofPatch }], view)));
    },
    rest() {
      title.textContent = data.groups.length > 1 ? "On the two images" : "On the image";
      said.textContent = data.hint;
      const parts = data.groups.flatMap((group) => {
        const head = data.groups.length > 1 ? [el("h3", "", `${group.title} (${group.ids.length})`)] : [];
        const rows = group.ids.map((id) => {
          const feature = byId.get(id);
          const bars = feature.acts.map((a) => ({ value: a ?? 0, text: a === null ? "–" : number(a), top: ofImage }));
          return row(data, feature, bars, view);
        });
        return [...head, ...(rows.length ? rows : [el("p", "muted none", group.none)])];
      });
      list.replaceChildren(...parts);
    },
    mapping() {
      const id = this.previewed ?? this.chosen;
      const feature = id === null ? null : byId.get(id);
      const top = feature ? Math.max(1e-9, ...feature.heat.flatMap((h) => h.acts)) : 1;
      shown.forEach(({ heat }, at) => {
        const on = feature && data.pictures[at].mapped;
        heat.classList.toggle("on", Boolean(on));
        if (on) paint(heat, data.grid, { stops: data.colours, top, ...feature.heat[at] });
      });
      for (const press of list.querySelectorAll(".feature")) {
        press.setAttribute("aria-pressed", String(Number(press.dataset.id) === this.chosen));
      }
    },
  };
  // Up and down walk the list, so that Tab need not pass every feature.
  list.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    const every = [...list.querySelectorAll(".feature")];
    const to = every[every.indexOf(root.getRootNode().activeElement) + step];
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
  const shown = data.pictures.map((_, at) => picture(data, at, view));
  const side = el("div", "side");
  side.append(title, said, list);
  const pictures = el("div", shown.length > 1 ? "pictures two" : "pictures");
  pictures.append(...shown.map((one) => one.node));
  root.replaceChildren(pictures, side);
  root.classList.toggle("wide", shown.length > 1);
  view.listing();
  if (!list.childNodes.length) view.rest();
  view.mapping();
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  if (root.dataset.of === data.of) return; // what one looks at stays as it is
  root.dataset.of = data.of;
  build(root, data);
}
