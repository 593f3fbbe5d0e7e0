const KEPT = "loupe.captions";
function taste() {
  try {
    return { pictures: true, ...JSON.parse(localStorage.getItem(KEPT) || "{}") };
  } catch {
    return { pictures: true };
  }
}

function item(one, scale) {
  const node = el("li");
  node.append(el("span", "num muted rank", one.rank));
  if (one.src) {
    const way = link("way", one.href);
    const picture = el("img");
    picture.decoding = "sync";
    picture.src = one.src;
    picture.alt = `the image of caption ${one.rank}`;
    way.append(picture);
    node.append(way);
  }
  node.append(caption(one, scale), el("span", "num value", one.text));
  return node;
}

function pictures(root) {
  const now = taste();
  const label = el("label", "switch");
  const box = el("input");
  box.type = "checkbox";
  box.checked = now.pictures;
  const show = () => root.classList.toggle("pictured", box.checked);
  box.addEventListener("change", () => {
    show();
    try { localStorage.setItem(KEPT, JSON.stringify({ pictures: box.checked })); } catch { /* private window */ }
  });
  label.append(box, "Pictures");
  show();
  return label;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const top = Math.max(1e-9, ...data.rows.map((one) => one.act));
  const title = el("h2", "", data.title);
  title.title = data.help;
  const head = el("div", "head");
  head.append(title);
  if (data.rows.some((one) => one.src)) head.append(pictures(root));
  const scale = el("span", "scale");
  const ramp = el("span", "ramp");
  ramp.style.background = `linear-gradient(90deg, ${data.colours.join(", ")})`;
  scale.append(el("span", "num muted", "0"), ramp, el("span", "num muted", top.toFixed(2)));
  scale.title = data.rows.some((one) => one.whole) ? "activation of a caption" : "activation of a token";
  head.append(scale);
  if (data.note) head.append(el("span", "muted", data.note));
  const list = el("ol");
  list.append(...data.rows.map((one) => item(one, { top, stops: data.colours })));
  root.replaceChildren(head, list);
}
