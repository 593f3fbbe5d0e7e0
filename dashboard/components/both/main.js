const shown = new WeakMap();

function half(kind, name, { density, about, help }, content) {
  const node = el("div", `half ${kind}`);
  const head = el("div", "kind");
  head.title = help;
  head.append(el("span", "dot"), el("span", "", name), el("span", "num", density), el("span", "num muted", about));
  node.append(head, content);
  return node;
}

function images(one, tiles) {
  if (!one.sheet || !one.image.fires) return el("p", "none muted", "No image activates it.");
  const way = link("sheet-link", one.href);
  const sheet = el("img", "sheet");
  sheet.alt = `top images of ${one.name}`;
  sheet.decoding = "sync";
  sheet.style.aspectRatio = `${tiles[0]} / ${tiles[1]}`;
  sheet.src = one.sheet;
  way.append(sheet);
  return way;
}

function words(one, stops) {
  if (!one.captions.length) return el("p", "none muted", "No caption activates it.");
  const top = Math.max(1e-9, ...one.captions.map((each) => each.act));
  const list = el("ol");
  for (const each of one.captions) {
    const item = el("li");
    item.append(caption(each, { top, stops }), el("span", "num muted value", each.text));
    list.append(item);
  }
  return list;
}

function both(one, data) {
  const node = el("article", "both");
  node.setAttribute("aria-label", one.name);
  const head = el("div", "title");
  const way = link("name", one.href);
  way.append(el("span", "where", one.where), el("span", "num id", `#${one.id}`));
  const label = el("span", one.label ? "label" : "label muted", one.label || one.unlabelled);
  if (one.label) label.title = one.label;
  head.append(chooser(one.key, one.name), way, label, el("span", "muted", "MS"), meter(one.ms, one.msText, one.help.ms));
  const halves = el("div", "halves");
  halves.append(
    half("image", "images", one.image, images(one, data.tiles)),
    half("text", "captions", one.text, words(one, data.colours)),
  );
  const numbers = el("dl");
  numbers.append(...one.numbers.map(fact));
  node.append(head, halves, numbers);
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const before = shown.get(root);
  shown.set(root, data.page);
  const list = el("div", "list");
  list.append(...data.cards.map((one) => both(one, data)));
  follow(root);
  root.replaceChildren(...listHead(data, data.cards), list);
  if (data.pages > 1 && data.cards.length > 4) root.append(pager(data, "pages, at the end"));
  if (before && before !== data.page) root.scrollIntoView({ block: "start" });
}
