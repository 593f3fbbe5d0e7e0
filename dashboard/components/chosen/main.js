function picture(one) {
  const node = el("div", one.shared.length ? "tile shared" : "tile");
  const image = el("img");
  image.alt = one.caption;
  if (one.src) image.src = one.src;
  const also = one.shared.length ? `; also among the top images of ${one.shared.join(", ")}` : "";
  node.title = `${one.caption}\nactivation ${one.text}${also}`;
  node.dataset.id = one.id;
  node.append(image);
  if (one.shared.length) node.append(el("span", "badge num", String(one.shared.length + 1)));
  return node;
}

function histogram(bars) {
  const node = el("div", "bars");
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", "val images by activation, square-root scale");
  for (const one of bars) {
    const bar = el("i");
    bar.style.height = `${one.share * 100}%`;
    bar.title = one.text;
    node.append(bar);
  }
  return node;
}

function column(one) {
  const node = el("section", "column");
  node.setAttribute("aria-label", one.name);
  const title = link("title", one.href);
  title.append(el("span", "where", one.where), el("span", "num id", `#${one.id}`));
  const tiles = el("div", "tiles");
  tiles.append(...one.images.map(picture));
  if (!one.images.length) tiles.append(el("p", "muted", "No val image activates this feature."));
  const facts = el("dl");
  for (const fact of one.facts) {
    const pair = el("div");
    pair.title = fact.help;
    pair.append(el("dt", "muted", fact.name), el("dd", "num", fact.text));
    facts.append(pair);
  }
  const score = el("div", "score");
  score.append(el("span", "muted", "MS"), meter(one.ms, one.msText, one.help.ms));
  const label = el("div", one.label ? "label" : "label muted", one.label || one.unlabelled);
  if (one.label) label.title = one.label;
  node.append(title, label, tiles, score, facts, histogram(one.bars));
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const list = el("div", "columns");
  list.style.setProperty("--columns", data.features.length);
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", data.name);
  list.append(...data.features.map(column));
  // Pointing at a shared image shows where else it stands.
  list.addEventListener("pointerover", (event) => {
    const id = event.target.closest?.(".tile.shared")?.dataset.id;
    for (const tile of list.querySelectorAll(".tile.shared")) {
      tile.classList.toggle("same", tile.dataset.id === id);
    }
  });
  const wrap = el("div", "wrap");
  wrap.append(list);
  root.replaceChildren(wrap);
}
