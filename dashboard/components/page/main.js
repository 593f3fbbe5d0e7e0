export default function ({ setStateValue, parentElement }) {
  const root = parentElement.querySelector(".root");
  if (root.dataset.told) return;
  root.dataset.told = "yes";
  setStateValue("there", true);
}
