export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const row = el("nav", "chips");
  row.setAttribute("aria-label", data.name);
  row.append(el("span", "muted", data.name));
  for (const one of data.links) {
    const chip = link("chip", one.href);
    chip.textContent = one.text;
    chip.title = one.about;
    row.append(chip);
  }
  root.replaceChildren(row);
}
