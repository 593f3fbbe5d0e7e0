// The address of a page that is given the chosen features: DICTIONARY:ID,ID~DICTIONARY:ID.
function address(page, keys) {
  const of = new Map();
  for (const key of keys) {
    const at = key.lastIndexOf(":");
    const name = key.slice(0, at);
    of.set(name, [...(of.get(name) ?? []), key.slice(at + 1)]);
  }
  const to = new URL(page, location.href);
  const run = new URL(location.href).searchParams.get("run");
  if (run) to.searchParams.set("run", run);
  to.searchParams.set("features", [...of].map(([name, ids]) => `${name}:${ids}`).join("~"));
  return to;
}

function draw(root, { ways }) {
  const keys = chosen.keys();
  if (!keys.length) return root.replaceChildren();
  const bar = el("div", "bar");
  bar.setAttribute("role", "region");
  bar.setAttribute("aria-label", "chosen features");
  bar.append(el("span", "num count", keys.length === 1 ? "1 feature chosen" : `${keys.length} features chosen`));
  for (const way of ways) {
    const fits = keys.length <= way.most;
    const go = fits ? link("go", address(way.page, keys)) : el("span", "go off");
    go.textContent = way.title;
    if (!fits) go.title = `takes at most ${way.most}`;
    bar.append(go);
  }
  const clear = el("button", "clear", "Clear");
  clear.addEventListener("click", () => chosen.set([]));
  bar.append(clear);
  root.replaceChildren(bar);
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  if (sessionStorage.getItem("loupe-run") !== data.run) {
    sessionStorage.setItem("loupe-run", data.run);
    chosen.set([]);
  }
  root.redraw = () => draw(root, data);
  if (!root.listens) {
    root.listens = () => root.redraw();
    window.addEventListener(CHOSEN, root.listens);
  }
  root.redraw();
  return () => {
    window.removeEventListener(CHOSEN, root.listens);
    root.listens = null;
  };
}
