const MOST_ZOOM = 600, LEAST_ZOOM = 0.5;
const FEW_RINGS = 60; // so many selected points get a ring each
const NUMBER = new Intl.NumberFormat("en");

// The three parts of a map find each other here, by its key.
const maps = new Map();

function mapOf(key) {
  if (!maps.has(key)) {
    maps.set(key, {
      key, panels: [], lasso: false, hover: null, selection: null, answers: new Map(), parts: {}, pace: newPace(),
    });
  }
  return maps.get(key);
}

// ---- the view of a panel: its centre in the plane, and pixels to a unit ----

function fit(panel) {
  return (wide, high) => {
    const { box } = panel;
    const k = Math.min((wide - 36) / box.wide, (high - 36) / box.high);
    return { x: box.left + box.wide / 2, y: box.low + box.high / 2, k: Math.max(k, 1e-9) };
  };
}

const toScreen = ({ view, place }, x, y) => [(x - view.x) * view.k + place[2] / 2, place[3] / 2 - (y - view.y) * view.k];
const toPlane = ({ view, place }, [px, py]) => [view.x + (px - place[2] / 2) / view.k, view.y - (py - place[3] / 2) / view.k];

function lookAt(map, panel, view) {
  const whole = panel.fit(panel.place[2], panel.place[3]);
  const k = Math.max(whole.k * LEAST_ZOOM, Math.min(whole.k * MOST_ZOOM, view.k));
  const keep = (at, from, size) => Math.max(from, Math.min(from + size, at));
  panel.view = { k, x: keep(view.x, panel.box.left, panel.box.wide), y: keep(view.y, panel.box.low, panel.box.high) };
  panel.moved = k !== whole.k || view.x !== whole.x || view.y !== whole.y;
  map.moving = performance.now();
  draw(map);
}

// What lies below `at` stays there.
function zoom(map, panel, by, at = [panel.place[2] / 2, panel.place[3] / 2]) {
  const [x, y] = toPlane(panel, at);
  const whole = panel.fit(panel.place[2], panel.place[3]).k;
  const k = Math.max(whole * LEAST_ZOOM, Math.min(whole * MOST_ZOOM, panel.view.k * by));
  const kept = panel.view.k / k;
  lookAt(map, panel, { k, x: x + (panel.view.x - x) * kept, y: y + (panel.view.y - y) * kept });
}

function glide(map, panel, to) {
  const from = { ...panel.view }, begun = performance.now();
  const time = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 180;
  const token = panel.glide = {};
  (function next() {
    if (panel.glide !== token) return;
    const t = time ? Math.min(1, (performance.now() - begun) / time) : 1;
    const ease = 1 - (1 - t) ** 3;
    const k = from.k * (to.k / from.k) ** ease;
    // The centre moves as the scale does, so that the way is straight on the screen.
    const part = Math.abs(to.k - from.k) < 1e-9 * to.k ? ease : (1 / from.k - 1 / k) / (1 / from.k - 1 / to.k);
    lookAt(map, panel, { k, x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part });
    if (t < 1) requestAnimationFrame(next);
    else panel.moved = k !== panel.fit(panel.place[2], panel.place[3]).k;
  })();
}

const whole = (map, panel) => glide(map, panel, panel.fit(panel.place[2], panel.place[3]));

// ---- drawing ----

function draw(map) {
  if (!map.frame) map.frame = requestAnimationFrame((now) => { map.frame = 0; paint(map, now); });
}

function paint(map, now) {
  const { stage, painter, canvas } = map;
  if (!stage?.isConnected || !map.panels.every((panel) => panel.codes)) return;
  if (painter.lost()) return remake(map);
  measure(map);
  if (!stage.clientWidth) return;
  const moving = map.moving && now - map.moving < 140;
  const points = map.panels.reduce((sum, panel) => sum + panel.x.length, 0);
  if (moving) clock(map, now, points);
  const ground = groundOf(stage);
  if (map.ground !== ground) {
    map.ground = ground;
    map.colours = map.table = tableOf(map.legend.table, map.legend.grey, ground);
    map.legend.show();
  }
  if (map.colours) { painter.colours(map.colours); map.colours = null; }
  const ratio = canvas.width / stage.clientWidth;
  const step = moving ? map.pace.step : 1;
  stage.dataset.every = step; // for whoever measures
  painter.start();
  for (const panel of map.panels) {
    const parted = map.path ? map.path.panel === panel : map.selection && !panel.apart;
    painter.panel(panel, panel.place, ratio, step, parted);
  }
  painter.end();
  overlay(map, ratio);
  if (moving) {
    clearTimeout(map.settle);
    map.settle = setTimeout(() => {
      map.moving = 0;
      restPace(map.pace);
      if (step > 1) draw(map);
    }, 150);
  }
  if (map.fresh) {
    map.fresh = false;
    performance.mark("loupe-map-painted", { detail: { map: map.key, points, painter: painter.kind } });
  }
  tell(map);
}

// What this frame costs shows in when the next one comes.
function clock(map, now, points) {
  requestAnimationFrame((next) => { if (map.moving) keepPace(map.pace, next - now, points); });
}

// The page's background as #rrggbb; its theme gives it so, and another form counts as light.
function groundOf(node) {
  const ground = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  return /^#[0-9a-f]{6}/i.test(ground) ? ground : "#ffffff";
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const wait of [100, 600]) setTimeout(() => maps.forEach(draw), wait); // once the page has changed
});

// Where the panels are; the canvases lie over all of them.
function measure(map) {
  const { stage, canvas, over } = map;
  const [ratio, wide, high] = [window.devicePixelRatio || 1, stage.clientWidth, stage.clientHeight];
  for (const node of [canvas, over]) {
    const size = [Math.round(wide * ratio), Math.round(high * ratio)];
    if (node.width !== size[0] || node.height !== size[1]) [node.width, node.height] = size;
  }
  const origin = stage.getBoundingClientRect();
  for (const panel of map.panels) {
    const box = panel.node.getBoundingClientRect();
    const before = panel.place;
    panel.place = [box.left - origin.left + 1, box.top - origin.top + 1, box.width - 2, box.height - 2];
    if (!panel.view || !panel.moved) panel.view = panel.fit(panel.place[2], panel.place[3]);
    else if (before && before[2] !== panel.place[2]) panel.view.k *= panel.place[2] / before[2];
  }
}

function ring(pen, [x, y], radius, ink, ground) {
  for (const [colour, width] of [[ground, 4], [ink, 2]]) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.stroke();
  }
}

function overlay(map, ratio) {
  const pen = map.over.getContext("2d");
  const style = getComputedStyle(map.stage);
  const [ink, ground] = [style.color, style.getPropertyValue("--st-background-color")];
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, map.over.width, map.over.height);
  map.panels.forEach((panel, i) => {
    pen.save();
    pen.beginPath();
    pen.rect(...panel.place);
    pen.clip();
    pen.translate(panel.place[0], panel.place[1]);
    const row = !map.hover ? -1 : i === map.hover.panel ? map.hover.row
      : map.match(map.hover.panel, i)?.(map.hover.row) ?? -1;
    if (row >= 0 && panel.codes[row] !== HIDDEN) {
      const { size } = look(panel, panel.place[2], panel.place[3]);
      ring(pen, toScreen(panel, panel.x[row], panel.y[row]), size / 2 + 3, ink, ground);
    }
    if (map.selection && panel.count <= FEW_RINGS) {
      const { size } = look(panel, panel.place[2], panel.place[3]);
      for (const at of chosenRows(panel)) {
        ring(pen, toScreen(panel, panel.x[at], panel.y[at]), size / 2 + 4, style.getPropertyValue("--accent"), ground);
      }
    }
    if (map.path?.panel === panel) {
      pen.beginPath();
      for (const corner of map.path.corners) pen.lineTo(...toScreen(panel, ...corner));
      pen.closePath();
      pen.fillStyle = `color-mix(in srgb, ${style.getPropertyValue("--accent")} 9%, transparent)`;
      pen.fill();
      pen.strokeStyle = style.getPropertyValue("--accent");
      pen.lineWidth = 1.5;
      pen.stroke();
    }
    pen.restore();
  });
}

// A device that went to sleep takes its drawings along: a new canvas, and all is drawn again. A
// canvas that was asked for one way of drawing gives no other, so each way gets its own.
function remake(map) {
  for (const way of [webgl, plain]) {
    const node = el("canvas", "points");
    node.setAttribute("aria-hidden", "true");
    map.painter = way(node);
    if (!map.painter) continue;
    map.canvas?.replaceWith(node);
    map.canvas = node;
    break;
  }
  map.colours = map.table;
  draw(map);
}

// ---- the three parts ----

function showPlane(map, root, head) {
  const kept = map.digest === head.digest && map.stage?.isConnected;
  if (kept) return;
  performance.mark("loupe-map-data", { detail: { map: map.key } });
  map.painter?.leave();
  const had = map.selection;
  Object.assign(map, { digest: head.digest, selection: null, path: null, drag: false, hover: null, fresh: true, pace: newPace() });
  const stage = el("div", "stage");
  stage.dataset.panels = head.panels.length;
  if (head.height) stage.style.setProperty("--high", `${head.height}px`);
  map.panels = head.panels.map((one) => {
    const pick = (at) => (at === null || at === undefined ? null : head.arrays[at]);
    const panel = { ...one, x: pick(one.x), y: pick(one.y), ids: pick(one.ids), of: pick(one.of), count: 0 };
    panel.links = Object.fromEntries(Object.entries(one.links).map(([to, at]) => [to, pick(at)]));
    panel.box = bounds(panel.x, panel.y);
    panel.grid = gridIndex(panel.x, panel.y, panel.box);
    panel.mask = new Uint8Array(panel.x.length);
    panel.fit = fit(panel);
    return panel;
  });
  const matches = new Map();
  map.match = (from, to) => {
    const name = `${from} ${to}`;
    if (!matches.has(name)) matches.set(name, matcher(map.panels, from, to));
    return matches.get(name);
  };
  map.panels.forEach((panel, at) => {
    const figure = el("figure", "panel");
    const caption = el("figcaption");
    panel.said = el("span", "num muted");
    caption.append(el("span", "name", panel.title), panel.said);
    caption.firstChild.title = panel.title;
    panel.node = el("div", "plane");
    panel.node.tabIndex = 0;
    panel.node.setAttribute("role", "application");
    panel.node.setAttribute("aria-label", `${panel.title}: map of ${NUMBER.format(panel.grid.drawn)} features. ` +
      "Arrows move, plus and minus zoom, 0 shows all. The feature nearest to the middle is read out: " +
      "Enter opens it, Space selects it for a card below, Escape clears the selection.");
    figure.append(caption, panel.node);
    stage.append(figure);
    listen(map, panel, at);
  });
  map.stage = stage;
  map.canvas = null;
  map.over = el("canvas", "over");
  map.tip = el("div", "tip");
  map.tip.hidden = true;
  map.tip.setAttribute("role", "status"); // read out as the keys move
  map.over.setAttribute("aria-hidden", "true");
  remake(map);
  stage.append(map.canvas, map.over, map.tip);
  root.replaceChildren(stage);
  map.resize?.disconnect();
  map.resize = new ResizeObserver(() => draw(map));
  map.resize.observe(stage);
  colour(map);
  if (had && !had.found) map.parts.plane.setStateValue("selection", null); // it spoke of other points
  obey(map);
}

function colour(map) {
  const { legend } = map;
  if (!legend || legend.arrays.length !== map.panels.length) return;
  if (map.panels.some((panel, i) => legend.arrays[i].length !== panel.x.length)) return;
  map.panels.forEach((panel, i) => {
    panel.codes = legend.arrays[i].slice();
    for (let row = 0; row < panel.codes.length; row++) {
      if (!(Number.isFinite(panel.x[row]) && Number.isFinite(panel.y[row]))) panel.codes[row] = HIDDEN;
    }
    panel.shown = panel.codes.reduce((sum, code) => sum + (code !== HIDDEN), 0);
  });
  map.painter.forget();
  map.ground = null;
  draw(map);
}

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
  if (head.arrays.some((codes) => codes.includes(UNKNOWN))) node.append(swatch("not known", () => head.grey));
  head.show = () => paints.forEach((paint) => paint());
  head.show();
  node.append(el("span", "hint muted", "drag to move · wheel to zoom · shift-drag to select · double click for all"));
  root.replaceChildren(node);
  colour(map);
}

function showBar(map, root, data) {
  map.tiles = data.tiles;
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
  map.selection?.found ? "found" : map.panels[map.selection?.panel] === panel ? "selected" : "match";

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

const SHOW = { plane: showPlane, legend: showLegend, bar: showBar };

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const head = data instanceof Uint8Array ? unpack(data) : data;
  const map = mapOf(head.map);
  const part = map.parts[head.part] = { root, setStateValue, setTriggerValue };
  SHOW[head.part](map, root, head);
  // Streamlit may take a part away and put it back; what is gone for good gives its memory back.
  return () => setTimeout(() => {
    if (map.parts[head.part] !== part || root.isConnected) return;
    delete map.parts[head.part];
    if (head.part !== "plane") return;
    map.painter?.leave();
    map.resize?.disconnect();
    if (maps.get(head.map) === map) maps.delete(head.map);
  }, 1000);
}
