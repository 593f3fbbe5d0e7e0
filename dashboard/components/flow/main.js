const TOP = 44, TALL = 260, FOOT = 46, BAR = 20, LEAST = 132, MOST = 330, SIDE = 66;
const draws = new WeakMap();

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A part of the drawing that lists its features: a link, with its explanation on hover.
function part(one, chosen, shapes) {
  const to = new URL(location.href);
  to.searchParams.set("part", one.key);
  for (const name of ["page", "of"]) to.searchParams.delete(name);
  const node = svg("a", { href: to.href, class: one.key === chosen ? "part chosen" : "part" });
  node.setAttribute("aria-label", one.about);
  if (one.key === chosen) node.setAttribute("aria-current", "true");
  node.dataset.part = one.key;
  node.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    visit(to.href);
  });
  node.append(svg("title", {}, one.about), ...shapes);
  return node;
}

// From a stretch of one bar to a stretch of the next, as a curve of falling or growing width.
function ribbon(x0, top0, tall0, x1, top1, tall1) {
  const middle = (x0 + x1) / 2;
  const curve = (y0, y1, from, to) => `C ${middle} ${y0}, ${middle} ${y1}, ${to} ${y1}`;
  return `M ${x0} ${top0} ${curve(top0, top1, x0, x1)} L ${x1} ${top1 + tall1} `
    + `${curve(top1 + tall1, top0 + tall0, x1, x0)} Z`;
}

function drawing(data, width) {
  const { layers, links, chosen } = data;
  const gap = Math.max(LEAST, Math.min(MOST, (width - 2 * SIDE - BAR) / Math.max(1, layers.length - 1)));
  const most = Math.max(1, ...layers.map((layer) => layer.live));
  const tall = (count) => (count / most) * TALL;
  const wide = 2 * SIDE + BAR + gap * (layers.length - 1);
  const node = svg("svg", { width: wide, height: TOP + TALL + FOOT, role: "group" });
  node.setAttribute("aria-label", data.said);
  const counts = layers.map((layer) => Object.fromEntries(layer.bands.map((b) => [b.kind, b.count])));
  links.forEach((one, i) => {
    const x0 = SIDE + i * gap + BAR, x1 = SIDE + (i + 1) * gap;
    const there = TOP + tall(counts[i + 1].starts ?? 0);
    const d = ribbon(x0, TOP, tall(one.out), x1, there, tall(one.in));
    const text = one.out === one.in ? one.out.toLocaleString("en")
      : `${one.out.toLocaleString("en")} → ${one.in.toLocaleString("en")}`;
    const middle = { x: (x0 + x1) / 2, "text-anchor": "middle" };
    const y = (TOP + there + tall(one.out) / 2 + tall(one.in) / 2) / 2 + 4;
    node.append(part(one, chosen, [
      svg("path", { d, class: "ribbon" }), svg("text", { ...middle, y, class: "count" }, text),
    ]));
    if (one.merged) {
      const words = svg("text", { ...middle, y: TOP + TALL + 38, class: "merged" }, one.merged.text);
      node.append(part(one.merged, chosen, [words]));
    }
  });
  layers.forEach((layer, i) => {
    const x = SIDE + i * gap, middle = { x: x + BAR / 2, "text-anchor": "middle" };
    let y = TOP;
    for (const band of layer.bands) {
      if (!band.count) continue;
      const box = { x, y, width: BAR, height: Math.max(1, tall(band.count) - 1), class: `band ${band.colour}` };
      node.append(part(band, chosen, [svg("rect", box)]));
      y += tall(band.count);
    }
    node.append(
      svg("text", { ...middle, y: 16, class: "name" }, layer.name),
      svg("text", { ...middle, y: 33, class: "quiet" }, `${layer.live.toLocaleString("en")} live`),
    );
  });
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  let wrap = root.querySelector(".wrap");
  if (!wrap) {
    wrap = el("div", "wrap");
    root.append(wrap);
  }
  const draw = () => {
    const focused = root.getRootNode().activeElement?.dataset?.part;
    wrap.replaceChildren(drawing(data, wrap.clientWidth));
    if (focused) wrap.querySelector(`[data-part="${CSS.escape(focused)}"]`)?.focus();
  };
  draws.get(root)?.disconnect();
  let before = -1;
  const watch = new ResizeObserver(() => {
    if (wrap.clientWidth === before) return;
    before = wrap.clientWidth;
    draw();
  });
  watch.observe(wrap);
  draws.set(root, watch);
}
