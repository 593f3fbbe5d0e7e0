// While a map moves and frames are slow, every n-th point stands for all. Points come back when
// frames are quick again; where fewer points made frames no quicker, they are not what costs.
const SLOW_MS = 30, QUICK_MS = 22; // mean of some frames; between the two nothing changes
const REST_MS = 1000; // a longer frame is something else than points
const FEW = 8000; // fewer points than this make no map
const FRAMES = 5; // a drawing may show late, in the frame after the next: one frame says nothing
const QUEUED = 2; // frames after a change that may still be of before
const TRY_FRAMES = 10, MOST_TRY_FRAMES = 240; // quick frames before more points are tried

const newPace = () => ({ step: 1, took: [], skip: 0, quick: 0, wait: TRY_FRAMES, tried: false, before: 0, vain: false });

// Takes in how long one frame of a moving map took, in ms, also where the map was not drawn anew
// in it: a slow hand makes no slow frames. Changes `pace.step`, the n of "every n-th".
function keepPace(pace, took, points) {
  if (took > REST_MS || pace.skip-- > 0) return;
  pace.took.push(took);
  if (pace.took.length > FRAMES) pace.took.shift();
  if (pace.took.length < FRAMES) return;
  const mean = pace.took.reduce((sum, one) => sum + one) / FRAMES;
  if (mean > SLOW_MS) return thinner(pace, mean, points);
  pace.quick = mean < QUICK_MS ? pace.quick + 1 : 0;
  if (pace.tried && pace.quick >= 4 * TRY_FRAMES) [pace.tried, pace.wait] = [false, TRY_FRAMES];
  if (pace.step > 1 && pace.quick >= pace.wait) change(pace, pace.step / 2, { tried: true });
}

function thinner(pace, mean, points) {
  pace.quick = 0;
  // More points were too many: for a while they are not tried again.
  if (pace.tried) pace.wait = Math.min(MOST_TRY_FRAMES, 4 * pace.wait);
  if (pace.before && mean >= pace.before) {
    pace.vain = true;
    return change(pace, Math.max(1, pace.step / 2), {});
  }
  const step = pace.step * (mean > 4 * SLOW_MS ? 4 : 2);
  if (!pace.vain && points / step >= FEW) change(pace, step, { before: mean });
}

function change(pace, step, { tried = false, before = 0 }) {
  Object.assign(pace, { step, tried, before, took: [], quick: 0, skip: QUEUED });
}

// The map rests: what was in vain may be worth a try when it moves again.
function restPace(pace) {
  change(pace, pace.step, {});
  pace.vain = false;
}
