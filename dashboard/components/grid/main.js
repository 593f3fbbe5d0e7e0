function card(data, tiles, open) {
  const node = link("card", data.href, open);
  node.setAttribute("aria-label", data.name);
  const sheet = el("img", "sheet");
  sheet.alt = "";
  sheet.decoding = "sync";
  sheet.style.aspectRatio = `${tiles[0]} / ${tiles[1]}`;
  if (data.sheet) sheet.src = data.sheet;
  const title = el("div", "title");
  title.append(el("span", "where", data.where), el("span", "num id", `#${data.id}`));
  const label = el("div", data.label ? "label" : "label muted", data.label || "no label");
  if (data.label) label.title = data.label;
  const facts = el("div", "facts");
  const density = el("span", "num muted", data.density);
  density.title = data.help.density;
  facts.append(meter(data.ms, data.msText, data.help.ms), density);
  node.append(sheet, title, label, facts);
  return node;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const list = el("div", "cards");
  list.setAttribute("role", "list");
  for (const one of data.cards) {
    const item = el("div");
    item.setAttribute("role", "listitem");
    item.append(card(one, data.tiles, () => setTriggerValue("open", one.go)));
    list.append(item);
  }
  root.replaceChildren(list);
}
