export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const title = el("h2", "", data.title);
  title.title = data.help;
  const list = el("dl");
  list.append(...data.facts.map(fact));
  root.replaceChildren(title, list);
}
