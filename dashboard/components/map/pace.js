// While a map moves and frames are slow, every n-th point stands for all. Points come back when
// frames are quick again; where fewer points made frames no quicker, they are not what costs.
const SLOW_MS = 30, QUICK_MS = 22; // between the two nothing changes
const REST_MS = 400; // a longer frame is the first after a rest, or something else than points
const FEW = 8000; // fewer points than this make no map
const TRY_FRAMES = 10, MOST_TRY_FRAMES = 240; // quick frames before more points are tried

const newPace = () => ({ step: 1, slow: 0, quick: 0, wait: TRY_FRAMES, tried: false, took: [], before: 0, vain: false });

const median = (all) => [...all].sort((a, b) => a - b)[all.length >> 1];

// Takes in how long one frame of a moving map took, in ms: from the begin of its drawing to the next
// frame, however rarely the hand moves. Changes `pace.step`, the n of "every n-th".
function keepPace(pace, took, points) {
  if (took > REST_MS) return;
  pace.took.push(took);
  if (pace.took.length > 5) pace.took.shift();
  pace.slow = took > SLOW_MS ? pace.slow + 1 : 0;
  pace.quick = took < QUICK_MS ? pace.quick + 1 : 0;
  if (pace.slow >= 3) return thinner(pace, points);
  if (pace.tried && pace.quick >= 4 * TRY_FRAMES) [pace.tried, pace.wait] = [false, TRY_FRAMES];
  if (pace.step > 1 && pace.quick >= pace.wait) thicker(pace, true);
}

function thinner(pace, points) {
  const now = median(pace.took);
  // More points were too many: for a while they are not tried again.
  if (pace.tried) pace.wait = Math.min(MOST_TRY_FRAMES, 4 * pace.wait);
  if (pace.before && now > 0.85 * pace.before) {
    pace.vain = true;
    thicker(pace, false);
  } else if (!pace.vain && points / (2 * pace.step) >= FEW) {
    pace.step *= 2;
    fresh(pace, now, false);
  }
}

function thicker(pace, tried) {
  pace.step = Math.max(1, pace.step / 2);
  fresh(pace, 0, tried);
}

function fresh(pace, before, tried) {
  Object.assign(pace, { slow: 0, quick: 0, took: [], before, tried });
}

// The map rests: what was in vain may be worth a try when it moves again.
function restPace(pace) {
  fresh(pace, 0, false);
  pace.vain = false;
}
