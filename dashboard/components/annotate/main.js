const trials = new WeakMap();
const AGAIN_MS = 4000;
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", s: "skip", S: "skip", u: "undo", U: "undo" };
const RATINGS = ["1", "2", "3", "4", "5"];

// What may be pressed now: answer -> [words, key].
function choices({ data }) {
  const found = new Map();
  if (data.kind === "pairs") found.set("left", ["Left", "←"]).set("right", ["Right", "→"]);
  if (data.kind === "rating") for (const n of RATINGS) found.set(n, [data.scale?.[n - 1] ?? n, n]);
  if (data.kind === "pairs" && data.tie) found.set("tie", ["Neither more", "↓"]);
  if (data.skip) found.set("skip", ["Skip", "S"]);
  if (data.undo) found.set("undo", ["Undo", "U"]);
  return found;
}

function send(state) {
  state.attempt += 1;
  state.tell("said", { ...state.said, attempt: state.attempt });
  clearTimeout(state.timer);
  state.timer = setTimeout(() => state.said && send(state), AGAIN_MS);
}

function press(state, answer) {
  if (state.said || (answer !== "undo" && !state.seen)) return;
  const ms = answer === "undo" || !state.seen ? null : Math.round(performance.now() - state.seen);
  state.said = { trial: state.data.trial, answer, request: crypto.randomUUID(), ms };
  state.root.querySelector(".trial").setAttribute("aria-busy", "true");
  for (const node of state.root.querySelectorAll("[data-answer]")) node.classList.toggle("chosen", node.dataset.answer === answer);
  send(state);
}

function enlarge(state, src) {
  const box = state.root.querySelector("dialog");
  box.querySelector("img").src = src;
  box.showModal();
}

function image(state, src, place) {
  const intruder = state.data.kind === "intruder";
  const node = el("button", "image");
  const picture = el("img");
  picture.src = src;
  picture.alt = `image ${place + 1}`;
  node.append(picture);
  if (intruder) {
    node.dataset.answer = String(place);
    node.title = "this one does not belong";
    node.addEventListener("click", () => press(state, String(place)));
  } else {
    node.title = "enlarge";
    node.addEventListener("click", () => enlarge(state, src));
  }
  return node;
}

function side(state, images, name) {
  const node = el("section", "side");
  if (name) node.setAttribute("aria-label", name);
  const grid = el("div", "grid");
  grid.append(...images.map((src, place) => image(state, src, place)));
  node.append(grid);
  return node;
}

function bar(state) {
  const row = el("div", "answers");
  for (const [answer, [text, key]] of choices(state)) {
    const node = el("button", "answer");
    node.dataset.answer = answer;
    node.append(el("span", "", text), el("kbd", "", key));
    node.addEventListener("click", () => press(state, answer));
    row.append(node);
  }
  return row;
}

function head(state) {
  const { data } = state;
  const node = el("header");
  node.append(el("h2", "", data.question));
  const progress = el("span", "progress");
  const done = el("progress");
  done.max = Math.max(1, data.of);
  done.value = data.done;
  done.setAttribute("aria-label", "progress");
  progress.append(done, el("span", "num muted", `${data.done} of ${data.of}`));
  node.append(progress);
  return node;
}

// The time runs from the moment at which all images are on the screen.
async function watch(state, number) {
  state.seen = null;
  await Promise.allSettled([...state.root.querySelectorAll(".side img")].map((img) => img.decode()));
  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
  if (state.data.trial === number) state.seen = performance.now();
}

function draw(state) {
  const { data, root } = state;
  const images = state.sides.get(data.trial);
  const trial = el("div", `trial ${data.kind}`);
  trial.dataset.trial = data.trial;
  trial.tabIndex = -1;
  const names = data.kind === "pairs" ? ["left", "right"] : [null];
  const sides = el("div", "sides");
  sides.append(...images.map((of, at) => side(state, of, names[at])));
  const note = el("p", data.feedback === false ? "note wrong" : "note", data.note);
  note.setAttribute("role", "status");
  trial.append(head(state), sides, bar(state), note);
  const box = el("dialog");
  box.append(el("img"));
  box.addEventListener("click", () => box.close());
  trial.append(box);
  root.replaceChildren(trial);
  trial.focus({ preventScroll: true });
  watch(state, data.trial);
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".root");
  let state = trials.get(root);
  if (!state) {
    state = { root, sides: new Map(), attempt: 0, said: null, data: null };
    trials.set(root, state);
    state.keys = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (root.querySelector("dialog")?.open) return;
      const answer = KEYS[event.key] ?? (RATINGS.includes(event.key) ? event.key : null);
      if (!answer || !choices(state).has(answer)) return;
      event.preventDefault();
      press(state, answer);
    };
    document.addEventListener("keydown", state.keys);
  }
  state.tell = setStateValue;
  for (const [number, sides] of Object.entries(data.sides)) state.sides.set(Number(number), sides);
  const same = state.data && state.data.turn === data.turn;
  state.data = data;
  if (!same) {
    clearTimeout(state.timer);
    state.said = null;
    draw(state);
    // What comes next is decoded while this one is looked at.
    for (const src of (state.sides.get(data.next) ?? []).flat()) Object.assign(new Image(), { src }).decode().catch(() => {});
    for (const number of state.sides.keys()) if (number < data.trial - 1) state.sides.delete(number);
  }
  return () => {
    clearTimeout(state.timer);
    document.removeEventListener("keydown", state.keys);
    trials.delete(root);
  };
}
