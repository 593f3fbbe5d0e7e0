// What the bench watches in a page. `painted` is the second frame after the last change of it, in
// whatever shadow root.
(() => {
const SLOWEST_MS = 20_000;
const QUIET_MS = 350; // a page on which nothing has changed for so long is whole
const bench = (window.bench = { clicked: 0, changed: 0, painted: 0, first: 0, shifts: [] });
const roots = new Set();
const frame = () => new Promise(requestAnimationFrame);
const painted = () => frame().then(frame);

const ASIDE = "[data-testid=stStatusWidget], [data-testid=stToolbar]";
const observer = new MutationObserver((list) => {
  const places = list.map(({ target }) => (target.closest ? target : target.parentElement));
  if (places.every((place) => place?.closest(ASIDE))) return;
  bench.changed = performance.now();
  painted().then(() => { bench.painted = performance.now(); });
});
function observe(root) {
  observer.observe(root, {
    childList: true, characterData: true, subtree: true, attributes: true,
    attributeFilter: ["src", "d", "transform"],
  });
}
observe(document);
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) {
  const root = attach.call(this, options);
  roots.add(root);
  observe(root);
  return root;
};

const living = () => [...roots].filter((root) => root.isConnected);
const within = (key, what) => living()
  .filter((root) => root.host.closest(`.st-key-${key}`))
  .flatMap((root) => [...root.querySelectorAll(what)]);
const everywhere = (what) => [document, ...living()]
  .flatMap((root) => [...root.querySelectorAll(what)]);
const images = {
  feature: () => within("top", "img"),
  cards: () => within("cards", "img"),
  plain: () => everywhere("[data-testid=stImage] img"),
};
const sources = (what) => images[what]().map((image) => image.src.slice(-64)).join();
const loaded = (image) => !image.getAttribute("src") || (image.complete && image.naturalWidth);

const atRest = () => document.querySelector("[data-test-script-state=notRunning]") !== null;

// Before the page hears of it: what is shown now, so that something else is waited for.
function start(event) {
  bench.shifts = [];
  bench.before = Object.fromEntries(Object.keys(images).map((what) => [what, sources(what)]));
  bench.clicked = event.timeStamp;
}
addEventListener("click", start, true);
addEventListener("keydown", start, true);
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) bench.shifts.push([one.startTime, one.value]);
}).observe({ type: "layout-shift", buffered: true });

function ready(what) {
  const now = images[what]();
  if (what === "feature" && (!within("head", "h1").length || within("head", ".busy").length)) return false;
  if (!now.length) return what === "feature" && atRest(); // a dead feature has no images
  if (!now.every(loaded) || sources(what) === bench.before[what]) return false;
  return what !== "plain" || now.length === 16;
}

// Milliseconds from the click until the pictures that were asked for are painted.
bench.until = async (what) => {
  const end = performance.now() + SLOWEST_MS;
  while (!ready(what)) {
    if (performance.now() > end) throw new Error(`never painted: ${what}`);
    await frame();
  }
  const shown = images[what]().filter((image) => image.getAttribute("src"));
  await Promise.all(shown.map((image) => image.decode()));
  await painted();
  bench.first = performance.now();
  return { ms: bench.first - bench.clicked, images: shown.length };
};

// The same until all of the page is painted, and by how much it moved after the first of it.
bench.whole = async () => {
  const still = () => atRest() && everywhere("img").every(loaded)
    && performance.now() - bench.changed > QUIET_MS;
  const end = performance.now() + SLOWEST_MS;
  while (!still()) {
    if (performance.now() > end) throw new Error("the page never came to rest");
    await frame();
  }
  const late = bench.shifts.filter(([at]) => at > bench.first);
  const shift = late.reduce((sum, [, value]) => sum + value, 0);
  return { ms: Math.max(bench.painted, bench.first) - bench.clicked, shift };
};
})();
