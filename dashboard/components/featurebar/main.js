const EVERY_MS = 90; // a held key sends no more often than this; the last target always goes
const BURST_MS = 1200; // steps closer together than this are one entry of the history
const GAP_MS = 500; // Streamlit may take the head away and put it back within a page
const GIVE_UP_MS = 6000; // an answer that never came no longer blocks what the page says

// There is one head on a page. What was asked for outlives it, so that no press is lost while
// Streamlit makes it anew.
const bar = {
  root: null, drawn: null, here: null, id: 0, count: 1, want: null, sent: -Infinity, timer: null, gone: 0,
  show: () => {},
};

function onPage() {
  if (!bar.here || (bar.gone && performance.now() - bar.gone > GAP_MS)) return false;
  return new URL(bar.here, location.href).pathname === location.pathname;
}

function typing(event) {
  const at = event.composedPath()[0];
  if (!(at instanceof Element)) return false;
  return at.matches("input:not([type=checkbox]), textarea, select, [contenteditable], " +
    "[role=slider], [role=listbox]");
}

function send() {
  bar.timer = null;
  if (bar.want === null || !onPage()) return;
  const now = performance.now();
  const to = new URL(bar.here, location.href);
  to.searchParams.set("feature", bar.want);
  visit(to, { replace: now - bar.sent < BURST_MS });
  bar.sent = now;
}

function settle() {
  clearTimeout(bar.giveUp);
  bar.want = null;
}

// Ask for a feature: the number changes at once, the page follows.
function want(target) {
  const id = Math.max(0, Math.min(bar.count - 1, target));
  if (id === (bar.want ?? bar.id)) return;
  bar.want = id;
  bar.show(id);
  clearTimeout(bar.giveUp);
  bar.giveUp = setTimeout(() => { settle(); bar.show(bar.id); }, GIVE_UP_MS);
  const wait = EVERY_MS - (performance.now() - bar.sent);
  if (wait <= 0) send();
  else if (!bar.timer) bar.timer = setTimeout(send, wait);
}

function step(by) { want((bar.want ?? bar.id) + by); }

document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (typing(event) || !onPage()) return;
  event.preventDefault();
  step(by);
});

function fact(list, name, value, help) {
  const box = el("div", "fact");
  box.title = help;
  const dd = el("dd");
  dd.append(value instanceof Node ? value : el("span", "num", value));
  box.append(el("dt", "", name), dd);
  list.append(box);
}

function jump() {
  const box = el("input", "jump");
  box.type = "number";
  box.min = 0;
  box.max = bar.count - 1;
  box.setAttribute("aria-label", `feature id, 0 to ${bar.count - 1}`);
  box.addEventListener("change", () => {
    const id = Number.parseInt(box.value, 10);
    if (Number.isFinite(id)) want(id);
  });
  return box;
}

function mover(text, name, act) {
  const node = el("button", "mover", text);
  node.setAttribute("aria-label", name);
  node.title = name;
  node.addEventListener("click", act);
  return node;
}

function copier(here) {
  const node = el("button", "copy", "Copy link");
  node.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(new URL(here, location.href).href);
      node.textContent = "Copied";
    } catch {
      node.textContent = "No access";
    }
    setTimeout(() => { node.textContent = "Copy link"; }, 1600);
  });
  return node;
}

function head(data) {
  const top = el("div", "top");
  const where = link("where", data.href);
  where.textContent = data.where;
  where.title = "Browse this dictionary";
  const title = el("h1");
  const id = el("span", "num");
  title.append(where, " ", id);
  const move = el("div", "move");
  const previous = mover("←", "previous feature (left arrow key)", () => step(-1));
  const next = mover("→", "next feature (right arrow key)", () => step(1));
  const box = jump();
  move.append(previous, box, next, copier(data.here));
  if (data.steer) {
    const steer = link("steer", data.steer);
    steer.textContent = "Steer";
    steer.title = "Turn this feature up and see what the model says";
    move.append(steer);
  }
  top.append(title, move);
  bar.show = (now) => {
    id.textContent = `#${now}`;
    box.value = now;
    previous.disabled = now <= 0;
    next.disabled = now >= bar.count - 1;
    bar.root.classList.toggle("busy", now !== bar.id);
  };
  return top;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  if (bar.want === data.id) settle();
  const drawn = {};
  Object.assign(bar, { root, drawn, id: data.id, count: data.count, here: data.here, gone: 0 });
  const focused = root.getRootNode().activeElement?.className;
  const facts = el("dl", "facts");
  const label = el("span", data.label ? "chip" : "muted", data.label || data.unlabelled);
  fact(facts, "label", label, data.help.label);
  if (data.labelScore) label.append(el("span", "num muted", ` ${data.labelScore}`));
  const ms = meter(data.ms, data.msText, data.help.ms);
  if (data.percentile) {
    const rank = el("span", "num muted", data.percentile);
    rank.title = data.help.percentile;
    ms.append(rank);
  }
  fact(facts, "MS", ms, data.help.ms);
  for (const one of data.facts) fact(facts, one.name, one.text, one.help);
  root.replaceChildren(head(data), facts);
  if (focused) root.querySelector(`.${focused.split(" ")[0]}`)?.focus();
  bar.show(bar.want ?? bar.id);
  return () => { if (bar.drawn === drawn) bar.gone = performance.now(); };
}
