export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const node = el("nav");
  node.setAttribute("aria-label", data.name);
  for (const one of data.entries) {
    const go = link("entry", one.href);
    if (one.here) go.setAttribute("aria-current", "page");
    const title = el("span", "title", one.title);
    title.title = one.title;
    go.append(title, el("span", "num muted", one.count));
    if (one.about) go.append(el("span", "about muted", one.about));
    node.append(go);
  }
  root.replaceChildren(node);
}
