const KEPT = "loupe.heatmap";
function taste() {
  try {
    return { on: true, opacity: 0.6, ...JSON.parse(localStorage.getItem(KEPT) || "{}") };
  } catch {
    return { on: true, opacity: 0.6 };
  }
}

function keep(now) {
  try { localStorage.setItem(KEPT, JSON.stringify(now)); } catch { /* private window */ }
}

function heat(image, grid, stops, top) {
  const canvas = el("canvas", "heat");
  paint(canvas, grid, { stops, top, patches: image.patches, acts: image.acts });
  // The square centre of the picture is shown; patches may cover all of it.
  const [wide, high] = [Math.max(1, image.aspect), Math.max(1, 1 / image.aspect)];
  Object.assign(canvas.style, {
    width: `${100 * wide}%`, height: `${100 * high}%`,
    left: `${-50 * (wide - 1)}%`, top: `${-50 * (high - 1)}%`,
  });
  return canvas;
}

function tile(image, data, top) {
  const node = el("figure", "tile");
  const frame = image.href ? link("frame", image.href) : el("div", "frame");
  frame.tabIndex = 0;
  const picture = el("img");
  picture.decoding = "sync";
  picture.alt = image.caption || image.name;
  if (image.src) picture.src = image.src;
  frame.append(picture);
  if (data.grid && image.patches.length) frame.append(heat(image, data.grid, data.colours, top));
  const line = el("figcaption");
  line.append(el("span", "num muted", image.rank), el("span", "num", image.text));
  const tip = el("div", "tip");
  tip.append(el("div", "", image.caption || "no caption"));
  for (const detail of image.details) tip.append(el("div", "muted", detail));
  node.append(frame, line, tip);
  return node;
}

function controls(root, data, top) {
  const now = taste();
  const show = () => {
    root.classList.toggle("heat-on", now.on);
    root.style.setProperty("--heat", now.opacity);
    range.disabled = !now.on;
    keep(now);
  };
  const bar = el("div", "bar");
  const toggle = el("label", "switch");
  const box = el("input");
  box.type = "checkbox";
  box.checked = now.on;
  box.addEventListener("change", () => { now.on = box.checked; show(); });
  toggle.append(box, "Heat map");
  const range = el("input", "range");
  Object.assign(range, { type: "range", min: 0.1, max: 1, step: 0.05, value: now.opacity });
  range.setAttribute("aria-label", "heat map opacity");
  range.addEventListener("input", () => { now.opacity = Number(range.value); show(); });
  const scale = el("span", "scale");
  const ramp = el("span", "ramp");
  ramp.style.background = `linear-gradient(90deg, ${data.colours.join(", ")})`;
  scale.append(el("span", "num muted", "0"), ramp, el("span", "num muted", top.toFixed(2)));
  scale.title = "activation of a patch";
  bar.append(toggle, range, scale);
  show();
  return bar;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const top = Math.max(1e-9, ...data.images.flatMap((image) => image.acts));
  const head = el("div", "head");
  head.append(el("h2", "", `Top ${data.images.length} images`));
  const mapped = data.grid && data.images.some((image) => image.patches.length);
  if (mapped) head.append(controls(root, data, top));
  head.append(el("span", "muted", mapped ? data.note : data.unmapped));
  const tiles = el("div", data.beside ? "tiles beside" : "tiles");
  tiles.append(...data.images.map((image) => tile(image, data, top)));
  root.replaceChildren(head, tiles);
}
