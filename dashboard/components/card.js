// Where the feature stands between words and pictures.
function sides(data) {
  const node = el("div", "sides");
  node.append(balance(data));
  return node;
}

// The one feature card: a link with its contact sheet in one picture.
function card(data, tiles) {
  const node = link("card", data.href);
  node.setAttribute("aria-label", data.name);
  // What no image activates shows the caption that does.
  const sheet = data.spoken ? el("span", "sheet spoken") : el("img", "sheet");
  if (data.spoken) sheet.append(el("q", "", data.spoken));
  else Object.assign(sheet, { alt: "", decoding: "sync" });
  sheet.style.aspectRatio = `${tiles[0]} / ${tiles[1]}`;
  if (data.sheet) sheet.src = data.sheet;
  const title = el("div", "title");
  title.append(el("span", "where", data.where), el("span", "num id", `#${data.id}`));
  const label = el("div", data.label ? "label" : "label muted", data.label || data.unlabelled);
  if (data.label) label.title = data.label;
  const facts = el("div", "facts");
  const density = el("span", "num muted", data.density);
  density.title = data.help.density;
  facts.append(meter(data.ms, data.msText, data.help.ms), density);
  node.append(sheet, title, label, facts);
  if (data.sides) node.append(sides(data.sides));
  // Whether the model says what it shows, once it is turned up.
  if (data.steering) {
    const steering = el("div", "note num muted", data.steering.text);
    steering.title = data.steering.help;
    node.append(steering);
  }
  // What people say of it.
  for (const text of data.words ?? []) {
    const words = el("div", "words", text);
    words.title = text;
    node.append(words);
  }
  if (data.note) node.append(el("div", "note num muted", data.note));
  return node;
}
