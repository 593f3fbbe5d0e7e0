// What a person does with a map: hovering, selecting, moving, opening.
const ANSWERS = 300; // hovers whose answers are kept
const HOVER_MS = 80; // a hover shorter than this asks Python for nothing
const TWICE_MS = 220; // a click waits this long for its second, which shows the whole map
const REACH = 9, TOUCH_REACH = 20; // how far from a point still counts as on it, in pixels

// ---- what is selected ----

function linked(map, from) {
  map.panels.forEach((panel, to) => {
    panel.marked = true;
    if (to === from) return;
    panel.mask.fill(0);
    panel.count = 0;
    const match = map.match(from, to);
    panel.apart = !match;
    if (!match) return;
    const source = map.panels[from];
    for (let row = 0; row < source.mask.length; row++) {
      if (!source.mask[row]) continue;
      const other = match(row);
      if (other < 0 || panel.codes?.[other] === HIDDEN || panel.mask[other]) continue;
      panel.mask[other] = 1;
      panel.count++;
    }
  });
  map.panels[from].apart = false;
}

// What a person selected in a panel stands out, with its matches in others; without it, what was found.
function select(map, at) {
  const before = map.selection;
  const panel = map.panels[at];
  if (panel?.count) {
    linked(map, at);
    map.selection = { panel: at };
  } else standOut(map, map.found);
  draw(map);
  if (!(before && !before.found) && !panel?.count) return; // nothing that Python does not know
  const said = panel?.count ? { panel: at, digest: map.digest, ...packed(panel.mask, panel.count) } : null;
  map.parts.plane?.setStateValue("selection", said);
}

function standOut(map, found) {
  map.panels.forEach((panel, i) => {
    panel.mask.fill(0);
    panel.count = 0;
    Object.assign(panel, { marked: true, apart: false });
    for (const row of found?.[i] ?? []) {
      if (row >= panel.mask.length || panel.mask[row] || panel.codes?.[row] === HIDDEN) continue;
      panel.mask[row] = 1;
      panel.count++;
    }
  });
  map.selection = found ? { found: true } : null;
}

// What Python says was found; said once more, it changes nothing.
function obey(map) {
  const said = `${map.digest} ${JSON.stringify(map.found?.map((rows) => [...rows]) ?? null)}`;
  if (!map.panels.length || map.said === said) return;
  const first = map.said === undefined || !map.said.startsWith(map.digest);
  map.said = said;
  if (first && !map.found) return;
  const own = map.selection && !map.selection.found;
  map.path = null;
  standOut(map, map.found);
  draw(map);
  if (own) map.parts.plane?.setStateValue("selection", null);
}

// ---- what is under the pointer ----

function hover(map, at, row) {
  if ((map.hover?.panel ?? -1) === at && (map.hover?.row ?? -1) === row) return;
  clearTimeout(map.asking);
  map.hover = row < 0 ? null : { panel: at, row, ...featureOf(map.panels[at], row) };
  draw(map);
  tip(map);
  if (!map.hover || map.answers.has(nameOf(map.hover))) return;
  const { dictionary, feature } = map.hover;
  map.asking = setTimeout(() => globalThis.loupeHover?.[map.key]?.ask({ dictionary, feature }), HOVER_MS);
}

// The component in `hover/` has an answer.
document.addEventListener("loupe-hover", ({ detail }) => {
  const map = maps.get(detail);
  const { answer } = globalThis.loupeHover[detail];
  if (!map || !answer) return;
  map.answers.set(nameOf(answer), answer);
  if (map.answers.size > ANSWERS) map.answers.delete(map.answers.keys().next().value);
  if (map.hover && nameOf(map.hover) === nameOf(answer)) tip(map);
});

const nameOf = ({ dictionary, feature }) => `${dictionary} ${feature}`;

function tip(map) {
  const node = map.tip;
  node.hidden = !map.hover || Boolean(map.path || map.drag);
  if (node.hidden) return;
  const panel = map.panels[map.hover.panel];
  const answer = map.answers.get(nameOf(map.hover));
  if (answer?.src) map.pictures = true;
  const sheet = el("img", "sheet");
  sheet.alt = "";
  sheet.style.aspectRatio = `${map.tiles[0]} / ${map.tiles[1]}`;
  if (answer?.src) sheet.src = answer.src;
  const title = el("div", "title");
  if (answer?.title) title.append(el("span", "label", answer.title));
  title.append(el("span", "num id", `#${map.hover.feature}`));
  node.replaceChildren(...(answer ? answer.src : map.pictures) ? [sheet] : [], title);
  for (const line of answer?.lines ?? (map.pictures ? [""] : [])) node.append(el("div", "muted num line", line || " "));
  const [x, y] = toScreen(panel, panel.x[map.hover.row], panel.y[map.hover.row]);
  const [left, top] = [panel.place[0] + x, panel.place[1] + y];
  const [wide, high] = [node.offsetWidth, node.offsetHeight];
  const aside = left + 16 + wide > map.stage.clientWidth ? left - 16 - wide : left + 16;
  node.style.left = `${Math.max(0, aside)}px`;
  node.style.top = `${Math.max(4, Math.min(map.stage.clientHeight - high - 4, top - high / 2))}px`;
}

// An address that begins with & is this one with some choices changed.
function addressed(href) {
  if (!href?.startsWith("&")) return href;
  const to = new URL(location.href);
  for (const [name, value] of new URLSearchParams(href.slice(1))) to.searchParams.set(name, value);
  return to.href;
}

function open(map, { panel: at, row, dictionary, feature }, aside) {
  const panel = map.panels[at];
  const href = addressed(panel.hrefs[panel.of ? panel.of[row] : 0]?.replace("{feature}", feature));
  if (!href) map.parts.plane?.setTriggerValue("click", { dictionary, feature });
  else if (aside) window.open(new URL(href, location.href), "_blank", "noopener");
  else visit(href);
}

// ---- fingers, mouse and keys ----

function listen(map, panel, at) {
  const { node } = panel;
  const fingers = new Map();
  let last = null, pressed = null, far = 0;
  const where = (event) => {
    const box = node.getBoundingClientRect();
    return [event.clientX - box.left - 1, event.clientY - box.top - 1];
  };
  const middle = () => {
    const all = [...fingers.values()];
    const centre = [0, 1].map((i) => all.reduce((sum, one) => sum + one[i], 0) / all.length);
    const apart = all.length > 1 ? Math.hypot(all[0][0] - all[1][0], all[0][1] - all[1][1]) : 0;
    return { centre, apart };
  };
  const find = (point, reach) => {
    const [left, below] = margins(panel);
    if (point[0] < left || point[1] > panel.place[3] - below) return -1;
    const [x, y] = toPlane(panel, point);
    return nearest(panel, x, y, reach / panel.view.k);
  };

  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !panel.view) return;
    node.setPointerCapture(event.pointerId);
    panel.glide = null;
    fingers.set(event.pointerId, where(event));
    last = middle();
    if (fingers.size > 1) return leaveLasso();
    [pressed, far] = [where(event), 0];
    if (!(map.lasso || event.shiftKey)) return;
    for (const one of map.panels) { one.mask.fill(0); one.count = 0; one.marked = true; }
    map.before = map.selection;
    map.path = { panel, corners: [toPlane(panel, pressed)], end: pressed };
    hover(map, at, -1);
  });

  node.addEventListener("pointermove", (event) => {
    if (!panel.view) return;
    const point = where(event);
    if (!fingers.has(event.pointerId)) return hover(map, at, find(point, REACH));
    fingers.set(event.pointerId, point);
    far = Math.max(far, Math.hypot(point[0] - pressed[0], point[1] - pressed[1]));
    if (map.path) return grow(point);
    const now = middle();
    if (far < 4 && fingers.size === 1) return;
    map.drag = true;
    node.classList.add("held");
    const { view } = panel;
    lookAt(map, panel, {
      k: view.k, x: view.x - (now.centre[0] - last.centre[0]) / view.k, y: view.y + (now.centre[1] - last.centre[1]) / view.k,
    });
    if (now.apart && last.apart) zoom(map, panel, now.apart / last.apart, now.centre);
    last = now;
    hover(map, at, -1);
  });

  function grow(point) {
    const { corners, end } = map.path;
    if (Math.hypot(point[0] - end[0], point[1] - end[1]) < 2) return;
    const corner = toPlane(panel, point);
    if (corners.length > 1) panel.count += toggle(panel, corners[0], corners[corners.length - 1], corner);
    corners.push(corner);
    map.path.end = point;
    panel.marked = true;
    draw(map);
  }

  function leaveLasso() {
    if (!map.path) return;
    map.path = null;
    const few = far < 4;
    if (few) panel.count = 0; // a press in lasso mode clears what was selected
    map.selection ??= map.before;
    select(map, at);
  }

  // One more point, or one less, in the selection by hand.
  function choose(row) {
    if (map.selection?.panel !== at) standOut(map, null);
    panel.mask[row] ^= 1;
    panel.count += panel.mask[row] ? 1 : -1;
    select(map, at);
  }

  function up(event) {
    if (!fingers.delete(event.pointerId)) return;
    if (fingers.size) { last = middle(); return; }
    node.classList.remove("held");
    const was = map.drag;
    map.drag = false;
    if (map.path) return leaveLasso();
    if (was || far >= 4 || event.type === "pointercancel") return draw(map);
    const touch = event.pointerType === "touch";
    const row = find(where(event), touch ? TOUCH_REACH : REACH);
    const again = map.hover?.panel === at && map.hover.row === row;
    if (row < 0 || touch) hover(map, at, row); // a first touch shows what a second opens
    if (row < 0 || (touch && !again)) return;
    const target = { panel: at, row, ...featureOf(panel, row) };
    clearTimeout(map.opening);
    map.opening = setTimeout(() => open(map, target, event.metaKey || event.ctrlKey), TWICE_MS);
  }
  node.addEventListener("pointerup", up);
  node.addEventListener("pointercancel", up);
  node.addEventListener("pointerleave", () => { if (!fingers.size) hover(map, at, -1); });
  node.addEventListener("dblclick", () => { clearTimeout(map.opening); whole(map, panel); });
  node.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (!panel.view) return;
    panel.glide = null;
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const turn = Math.max(-300, Math.min(300, event.deltaY * lines * (event.ctrlKey ? 6 : 1)));
    zoom(map, panel, Math.exp(-turn * 0.0022), where(event));
    hover(map, at, find(where(event), REACH));
    tip(map);
  }, { passive: false });

  // By keyboard, the point nearest to the middle takes the place of the one below the pointer.
  node.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || !panel.view) return;
    const { view, place } = panel;
    const step = Math.min(place[2], place[3]) / 8 / view.k;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (move) lookAt(map, panel, { k: view.k, x: view.x + move[0] * step, y: view.y + move[1] * step });
    else if (event.key === "+" || event.key === "=") zoom(map, panel, 1.4);
    else if (event.key === "-" || event.key === "_") zoom(map, panel, 1 / 1.4);
    else if (event.key === "0" || event.key === "Home") whole(map, panel);
    else if (event.key === "Escape") clear(map);
    else if (event.key === "Enter" && map.hover) open(map, map.hover);
    else if (event.key === " " && map.hover?.panel === at) choose(map.hover.row);
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (["Enter", "Escape", " "].includes(event.key)) return;
    hover(map, at, find([place[2] / 2, place[3] / 2], 60));
    tip(map);
  });
}

function clear(map) {
  if (map.path) map.path = null;
  else hover(map, 0, -1);
  select(map, -1);
}
