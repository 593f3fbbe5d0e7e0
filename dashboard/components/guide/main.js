// The server reads this cookie, so that the page is laid out right at once.
const SEEN = "loupe_guide=seen; path=/; max-age=31536000; samesite=strict";

function example(card, [columns, rows]) {
  const node = link("card", card.href);
  node.setAttribute("aria-label", card.name);
  const sheet = el("img", "sheet");
  sheet.alt = "";
  sheet.style.aspectRatio = `${columns} / ${rows}`;
  if (card.sheet) sheet.src = card.sheet;
  const facts = el("div", "facts");
  facts.append(el("span", "name", card.label ?? `#${card.id}`), meter(card.ms, card.msText, card.help.ms));
  node.append(sheet, facts);
  return node;
}

function step(one) {
  const node = el("section", "step");
  node.append(el("h2", "", one.title), el("p", "", one.text));
  if (one.card) node.append(example(one.card, one.tiles));
  if (one.links) {
    const list = el("ul");
    for (const way of one.links) {
      const item = el("li");
      const go = link("go", way.href);
      go.textContent = way.text;
      item.append(go, el("span", "muted", ` ${way.about}`));
      list.append(item);
    }
    node.append(list);
  }
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const body = el("div", "steps");
  body.append(...data.steps.map(step));
  const button = el("button", "fold");
  const show = (open) => {
    body.hidden = !open;
    button.textContent = open ? "Got it" : "New here? What a feature is, and what its score says";
    button.setAttribute("aria-expanded", String(open));
    root.classList.toggle("open", open);
  };
  button.addEventListener("click", () => {
    document.cookie = SEEN;
    show(body.hidden);
  });
  if (root.classList.contains("told")) return;
  root.classList.add("told");
  show(data.open);
  root.replaceChildren(body, button);
}
