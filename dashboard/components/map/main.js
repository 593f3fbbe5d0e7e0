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
    const [left, below] = margins(panel);
    const room = panel.axes ? 8 : 36;
    const k = Math.max(Math.min((wide - left - room) / box.wide, (high - below - room) / box.high), 1e-9);
    return { x: box.left + box.wide / 2 - left / 2 / k, y: box.low + box.high / 2 - below / 2 / k, k };
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
  [map.moving, map.still] = [performance.now(), 0];
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
  const moving = Boolean(map.moving);
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
  if (map.under) drawLines(map, ratio);
  overlay(map, ratio);
  if (map.fresh) {
    map.fresh = false;
    performance.mark("loupe-map-painted", { detail: { map: map.key, points, painter: painter.kind } });
  }
  tell(map);
}

// Counts every frame from the first of a movement to its rest, at which all points are drawn. A
// frame may take longer than a rest, so that a rest is some frames, too.
function clock(map, last, points) {
  if (map.counting) return;
  map.counting = true;
  requestAnimationFrame(function count(now) {
    if (now - map.moving > 150 && map.still++ > 2) {
      map.moving = 0;
      map.counting = false;
      restPace(map.pace);
      return draw(map);
    }
    keepPace(map.pace, now - last, points);
    last = now;
    requestAnimationFrame(count);
  });
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
  const { stage, canvas, over, under } = map;
  const [ratio, wide, high] = [window.devicePixelRatio || 1, stage.clientWidth, stage.clientHeight];
  for (const node of [canvas, over, under]) {
    if (!node) continue;
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
    if (panel.axes) drawMargins(pen, panel, axisStyle(map.stage));
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
    panel.box = panel.axes ? boxOf(panel.axes) : bounds(panel.x, panel.y);
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
    const of = panel.axes ? `, ${panel.axes.x.title} to the right, ${panel.axes.y.title} up` : "";
    panel.node.setAttribute("aria-label", `${panel.title}: map of ${NUMBER.format(panel.grid.drawn)} features${of}. ` +
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
  map.under = map.panels.some((panel) => panel.axes) ? el("canvas", "under") : null;
  map.under?.setAttribute("aria-hidden", "true");
  remake(map);
  stage.append(...(map.under ? [map.under] : []), map.canvas, map.over, map.tip);
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
