// One number with its name: `text`, a `balance` (see shared.js), what stands `beside` it, a `link`.
function fact(one) {
  const node = el("div", "fact");
  node.title = one.help;
  const told = el("dd", "num");
  if (one.balance) told.append(balance({ ...one.balance, help: one.help }));
  if (one.text) told.append(el("span", "", one.text));
  if (one.beside) told.append(el("span", "muted", one.beside));
  if (one.link) {
    const way = link("way", one.link.href);
    way.textContent = one.link.text;
    told.append(way);
  }
  node.append(el("dt", "muted", one.name), told);
  return node;
}
