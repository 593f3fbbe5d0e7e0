const tables = new WeakMap();

// One change: drawn at once, then sent whole.
function change(root, rows, gone) {
  const state = tables.get(root);
  state.rows = rows;
  state.number += 1;
  draw(root);
  state.send("said", { number: state.number, order: rows.map((row) => row.key), gone });
}

function move(root, from, to) {
  const rows = [...tables.get(root).rows];
  rows.splice(to, 0, ...rows.splice(from, 1));
  change(root, rows, tables.get(root).gone);
}

function remove(root, at) {
  const state = tables.get(root);
  state.gone.push(state.rows[at].key);
  change(root, state.rows.toSpliced(at, 1), state.gone);
  const left = root.querySelectorAll("li");
  left[Math.min(at, left.length - 1)]?.querySelector("button[data-do=remove]")?.focus();
}

function button(root, row, name, text, off, press) {
  const node = el("button", "", text);
  node.title = name;
  node.dataset.do = name.split(" ")[0];
  node.setAttribute("aria-label", `${name}: ${row.title}`);
  node.setAttribute("aria-disabled", off);
  node.addEventListener("click", () => off || press());
  return node;
}

function item(root, row, at) {
  const { rows, movable } = tables.get(root);
  const node = el("li");
  node.dataset.key = row.key;
  const sheet = el(row.sheet ? "img" : "span", "sheet");
  if (row.sheet) (sheet.alt = ""), (sheet.src = row.sheet);
  const text = row.href ? link("text", row.href) : el("span", "text");
  text.append(el("span", "title", row.title), el("span", "about muted", row.about));
  const tools = el("span", "tools");
  if (movable) {
    tools.append(
      button(root, row, "first", "⇈", at === 0, () => move(root, at, 0)),
      button(root, row, "up", "↑", at === 0, () => move(root, at, at - 1)),
      button(root, row, "down", "↓", at === rows.length - 1, () => move(root, at, at + 1)),
    );
  }
  tools.append(button(root, row, "remove", "✕", false, () => remove(root, at)));
  node.append(sheet, text);
  if (row.sides) node.append(balance(row.sides));
  node.append(tools);
  return node;
}

function draw(root) {
  const active = root.getRootNode().activeElement;
  const held = active?.closest?.("li")?.dataset.key, what = active?.dataset.do;
  const list = el("ol");
  list.setAttribute("aria-busy", tables.get(root).number > tables.get(root).seen);
  list.append(...tables.get(root).rows.map((row, at) => item(root, row, at)));
  root.replaceChildren(list);
  const again = held && [...list.children].find((node) => node.dataset.key === held);
  again?.querySelector(`button[data-do=${what}]`)?.focus({ preventScroll: true });
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".root");
  const before = tables.get(root);
  if (before && data.seen < before.number) return void (before.send = setStateValue);
  tables.set(root, {
    rows: data.rows, movable: data.movable, number: data.seen, seen: data.seen, gone: [], send: setStateValue,
  });
  draw(root);
}
