// Carries a question to Python and its answer back. Every answer brings its component's code along,
// so this one is small, and hands over to the map on the page.
export default function ({ data, setTriggerValue }) {
  const desk = (globalThis.loupeHover ??= {});
  desk[data.map] = { ask: (feature) => setTriggerValue("hover", feature), answer: data.answer };
  document.dispatchEvent(new CustomEvent("loupe-hover", { detail: data.map }));
}
