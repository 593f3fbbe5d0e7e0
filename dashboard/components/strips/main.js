function picture(image) {
  const node = el("figure", image.shown ? "picture shown" : "picture");
  const shown = el("img");
  shown.decoding = "sync";
  shown.alt = image.caption;
  shown.title = image.caption;
  if (image.src) shown.src = image.src;
  const said = el("figcaption", "num muted", image.text);
  const way = image.href ? link("way", image.href) : null;
  if (way) way.append(shown);
  if (image.beside) {
    const beside = link("beside", image.beside);
    beside.append("side by side");
    beside.setAttribute("aria-label", `side by side with ${image.caption}`);
    said.append(beside);
  }
  node.append(way ?? shown, said);
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const rows = data.rows.map((row) => {
    const node = el("div", row.wide ? "strip wide" : "strip");
    const images = el("div", "pictures");
    images.append(...row.images.map(picture));
    node.append(el("div", "name num", row.name), images);
    return node;
  });
  root.replaceChildren(...rows);
}
