const trials = new WeakMap();
const AGAIN_MS = 4000;
// Nobody judges faster: a second press or click so soon was meant for the trial before.
const LEAST_MS = 300;
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", s: "skip", S: "skip", u: "undo", U: "undo" };
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -4, ArrowDown: 4 };
const RATINGS = ["1", "2", "3", "4", "5"];

// What may be pressed now: answer -> [words, key].
function choices({ data }) {
  const found = new Map();
  if (data.kind === "pairs") found.set("left", ["Left", "←"]);
  if (data.kind === "rating" || data.kind === "outputs") for (const n of RATINGS) found.set(n, [{ 1: data.ends[0], 5: data.ends[1] }[n] ?? "", n]);
  if (data.kind === "choice") data.texts.forEach((_, at) => found.set(String(at + 1), null)); // the texts are pressed
  if (data.kind === "pairs" && data.tie) found.set("tie", ["Neither more", "↓"]);
  if (data.kind === "pairs") found.set("right", ["Right", "→"]);
  if (data.skip) found.set("skip", ["Skip", "S"]);
  if (data.undo !== null) found.set("undo", ["Undo", "U"]);
  return found;
}

// Names an answer; `crypto.randomUUID` is only there over https.
function fresh() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function send(state) {
  state.attempt += 1;
  if (state.attempt > 1) say(state, "Your answer is not kept yet. It is not lost: it is sent again…");
  state.tell("said", { ...state.said, attempt: state.attempt });
  clearTimeout(state.timer);
  state.timer = setTimeout(() => state.said && send(state), AGAIN_MS);
}

function say(state, text) {
  const note = state.root.querySelector(".note");
  if (note) note.textContent = text;
}

function press(state, answer) {
  const undo = answer === "undo";
  if (state.said || state.paused || (!undo && !state.open)) return;
  const ms = undo ? null : Math.round(performance.now() - state.seen);
  state.said = { trial: undo ? state.data.undo : state.data.trial, answer, request: fresh(), ms };
  state.attempt = 0;
  mark(state, answer);
  send(state);
}

// Makes a button give an answer; a double click is one answer, and not two to two trials.
function gives(node, state, answer) {
  node.dataset.answer = answer;
  node.addEventListener("click", (event) => event.detail < 2 && press(state, answer));
}

// Shows which answer is being kept; with null that none is.
function mark(state, answer) {
  const trial = state.root.querySelector(".trial");
  trial.toggleAttribute("aria-busy", answer !== null);
  for (const node of trial.querySelectorAll("[data-answer]")) node.classList.toggle("chosen", node.dataset.answer === answer);
}

function enlarge(state, src, alt) {
  const box = state.root.querySelector("dialog");
  Object.assign(box.querySelector("img"), { src, alt });
  box.showModal();
}

function image(state, src, place) {
  const cell = el("div", "cell");
  const node = el("button", "image");
  const picture = el("img");
  const alt = `image ${place + 1}`;
  Object.assign(picture, { src, alt });
  node.append(picture);
  cell.append(node);
  if (state.data.kind !== "intruder") {
    node.title = "enlarge";
    node.addEventListener("click", () => enlarge(state, src, alt));
    return cell;
  }
  gives(node, state, String(place));
  node.title = "this one does not belong";
  const zoom = el("button", "zoom", "⤢");
  zoom.title = `enlarge ${alt}`;
  zoom.setAttribute("aria-label", zoom.title);
  zoom.addEventListener("click", () => enlarge(state, src, alt));
  cell.append(zoom);
  return cell;
}

function side(state, images, name) {
  const node = el("section", "side");
  if (name) {
    node.dataset.side = name;
    node.setAttribute("aria-label", `${name} group`);
  }
  const grid = el("div", "grid");
  grid.append(...images.map((src, place) => image(state, src, place)));
  node.append(grid);
  return node;
}

// What was said, beside the image that it is about; of several each is pressed as a whole.
function texts(state) {
  const { data } = state;
  const node = el("section", "texts");
  node.setAttribute("aria-label", "texts");
  if (data.prompt) node.append(el("p", "muted prompt", data.prompt));
  data.texts.forEach((text, at) => {
    if (data.kind !== "choice") {
      node.append(el("p", "text", text));
      return;
    }
    const answer = String(at + 1);
    const choice = el("button", "text");
    gives(choice, state, answer);
    choice.append(el("kbd", "", answer), el("span", "", text));
    node.append(choice);
  });
  return node;
}

function bar(state) {
  const row = el("div", "answers");
  for (const [answer, words] of choices(state)) {
    if (!words) continue;
    const [text, key] = words;
    const node = el("button", "answer");
    gives(node, state, answer);
    if (text) node.append(el("span", "", text));
    node.append(el("kbd", "", key));
    node.setAttribute("aria-keyshortcuts", { "←": "ArrowLeft", "→": "ArrowRight", "↓": "ArrowDown" }[key] ?? key);
    row.append(node);
  }
  return row;
}

function head(state) {
  const { data } = state;
  const node = el("header");
  node.append(el("h1", "", data.question), progress(state));
  return node;
}

function progress({ data }) {
  const node = el("span", "progress");
  const done = el("progress");
  done.max = Math.max(1, data.of);
  done.value = data.done;
  done.setAttribute("aria-label", "progress");
  node.append(done, el("span", "num muted", `${data.done} of ${data.of}`));
  return node;
}

// The time runs from the moment at which all images are on the screen; answers are taken a bit later.
async function watch(state, trial) {
  await Promise.allSettled([...trial.querySelectorAll(".side img")].map((img) => img.decode()));
  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
  if (!trial.isConnected) return;
  state.seen = performance.now();
  trial.dataset.painted = "yes";
  setTimeout(() => {
    if (!trial.isConnected) return;
    state.open = true;
    trial.dataset.seen = "yes";
  }, LEAST_MS);
}

function dialog() {
  const box = el("dialog");
  box.setAttribute("aria-label", "enlarged image");
  const close = el("button", "close");
  close.title = "close";
  close.append(el("img"));
  box.append(close);
  box.addEventListener("click", () => box.close());
  return box;
}

function draw(state) {
  const { data, root } = state;
  const images = state.sides.get(data.trial);
  state.seen = null;
  state.open = false;
  state.paused = false;
  state.lost = !images;
  if (!images) {
    state.said = { trial: data.trial, answer: "lost", request: fresh(), ms: null };
    state.attempt = 0;
    send(state);
    return;
  }
  const trial = el("div", `trial ${data.kind}`);
  trial.dataset.trial = data.trial;
  trial.tabIndex = -1;
  const names = data.kind === "pairs" ? ["left", "right"] : [null];
  const sides = el("div", "sides");
  sides.append(...images.filter((of) => of.length).map((of, at) => side(state, of, names[at])));
  if (data.texts.length) sides.append(texts(state));
  const note = el("p", "note", data.note);
  note.setAttribute("role", "status");
  trial.append(head(state), sides, bar(state), note, dialog());
  root.replaceChildren(trial);
  trial.focus({ preventScroll: true });
  watch(state, trial);
}

function verdict(kind, { right, meant }) {
  const which = { pairs: `the ${meant} group`, choice: `text ${meant}`, intruder: "the marked image" }[kind];
  if (which) return right ? "✓ That is right." : `✗ Not this time: it was ${which}.`;
  // Ratings next to the one that is known are right too, and none is a matter of fact.
  const [from, to] = [Math.max(1, meant - 1), Math.min(5, Number(meant) + 1)];
  const range = to - from > 1 ? `${from} to ${to}` : `${from} or ${to}`;
  return right ? `✓ As expected: ${range}.` : `✗ Expected was ${range}.`;
}

// Between two trials: what was right, on the trial just answered, or a word about a rest.
function pause(state) {
  const { feedback, pause: line } = state.data;
  state.paused = true;
  const told = el("div", "told");
  told.setAttribute("role", "status");
  if (feedback) {
    const trial = state.root.querySelector(".trial");
    trial.removeAttribute("aria-busy");
    trial.querySelector(".progress").replaceWith(progress(state));
    const answer = trial.querySelector(`.side[data-side="${feedback.meant}"], :is(.image, .text)[data-answer="${feedback.meant}"]`);
    for (const node of trial.querySelectorAll(".chosen")) node.classList.replace("chosen", "picked");
    answer?.classList.add("meant");
    told.append(el("strong", feedback.right ? "right" : "wrong", verdict(state.data.kind, feedback)));
  }
  if (line) told.append(el("span", "", line));
  const go = el("button", "answer go");
  go.append(el("span", "", "Go on"), el("kbd", "", "Enter"));
  go.addEventListener("click", () => draw(state));
  const room = el("div", "pause");
  room.append(told, go);
  if (feedback) {
    state.root.querySelector(".answers").replaceWith(room);
    say(state, "");
  } else {
    const trial = el("div", "trial alone");
    trial.append(room);
    state.root.replaceChildren(trial);
  }
  go.focus({ preventScroll: true });
}

function onKey(state, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !state.root.isConnected) return;
  const path = event.composedPath();
  if (event.repeat) {
    // A key that is held down presses a button again and again: what comes after would go unread.
    if (["Enter", " "].includes(event.key) && state.root.contains(path[0])) event.preventDefault();
    return;
  }
  // A box open over the trial, or a field that is written in, has the keys to itself.
  if (state.root.querySelector("dialog")?.open || document.querySelector("[role=dialog]")) return;
  if (path.some((node) => node.matches?.("input, textarea, select, [contenteditable=true]"))) return;
  if (document.querySelector("[data-testid=stMainMenuPopover], [role=menu], [role=listbox]")) return;
  if (state.paused) {
    if (event.key !== "Enter" || path[0].matches?.(".go")) return;
    event.preventDefault();
    draw(state);
    return;
  }
  const grid = [...state.root.querySelectorAll(".intruder .image")];
  if (grid.length && event.key in STEPS) {
    event.preventDefault();
    const at = grid.indexOf(state.root.getRootNode().activeElement);
    const to = at < 0 ? 0 : at + STEPS[event.key];
    grid[to]?.focus();
    return;
  }
  const answer = KEYS[event.key] ?? (/^[1-9]$/.test(event.key) ? event.key : null);
  if (!answer || !choices(state).has(answer)) return;
  event.preventDefault();
  press(state, answer);
}

// What the server sends is an answer to what was said, or the same again.
function take(state, data) {
  const before = state.data;
  state.data = data;
  for (const [number, sides] of Object.entries(data.sides)) state.sides.set(Number(number), sides);
  const moved = !before || state.lost || before.trial !== data.trial || !state.root.querySelector(".trial");
  const heard = state.said && data.heard === state.said.request;
  if (!moved && !heard) {
    say(state, data.note);
    return;
  }
  clearTimeout(state.timer);
  const told = heard && moved && (data.pause || data.feedback?.trial === before?.trial);
  state.said = null;
  if (!moved) {
    mark(state, null);
    say(state, data.note);
  } else if (told && before) pause(state);
  else draw(state);
  // What comes next is decoded while this one is looked at.
  for (const src of (state.sides.get(data.next) ?? []).flat()) Object.assign(new Image(), { src }).decode().catch(() => {});
  for (const number of state.sides.keys()) if (number < data.trial - 1) state.sides.delete(number);
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".root");
  let state = trials.get(root);
  if (!state) {
    state = { root, sides: new Map(), attempt: 0, said: null, data: null, open: false, paused: false, lost: false };
    trials.set(root, state);
    state.keys = (event) => onKey(state, event);
    document.addEventListener("keydown", state.keys);
  }
  state.tell = setStateValue;
  take(state, data);
  return () => {
    clearTimeout(state.timer);
    document.removeEventListener("keydown", state.keys);
    trials.delete(root);
  };
}
