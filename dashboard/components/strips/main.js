function picture(image) {
  const node = el("figure", "picture");
  const shown = el("img");
  shown.decoding = "sync";
  shown.alt = image.caption;
  shown.title = image.caption;
  if (image.src) shown.src = image.src;
  node.append(shown, el("figcaption", "num muted", image.text));
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const rows = data.rows.map((row) => {
    const node = el("div", "strip");
    const images = el("div", "pictures");
    images.append(...row.images.map(picture));
    node.append(el("div", "name num", row.name), images);
    return node;
  });
  root.replaceChildren(...rows);
}
