export default function ({ parentElement }) {
  const root = parentElement.querySelector(".root");
  if (root.firstChild || !navigator.clipboard) return; // without https there is no clipboard
  const node = el("button", "", "Copy my link");
  node.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    node.textContent = "Copied";
  });
  node.setAttribute("aria-live", "polite");
  root.append(node);
}
