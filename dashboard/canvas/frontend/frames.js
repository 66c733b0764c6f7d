/* Pixels: fetched once by address, decoded, and kept while there is room. */

const FRAME_ROOM_BYTES = 256 * 1024 * 1024;
const RETRY_AFTER_MS = [120, 400, 1200]; // a file may be put back while the script reruns
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, i4: Int32Array, f4: Float32Array };

const frames = new Map(); // address -> { array, promise, bytes, asked }, least recently used first

/** The folder under which the app is served: also right behind a proxy that adds a prefix. */
function appBase() {
  const script = document.querySelector('script[src*="static/js/"]');
  return script ? new URL(script.src).href.split("/static/js/")[0] : window.location.origin;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fetch an array; whoever asks for it while it is on its way is given all attempts anew. */
async function download(address, type, frame) {
  let asked = -1;
  let waits = [];
  for (;;) {
    if (frame.asked !== asked) [asked, waits] = [frame.asked, [...RETRY_AFTER_MS]];
    try {
      const response = await fetch(appBase() + address);
      if (response.ok) return new ARRAYS[type](await response.arrayBuffer());
      throw new Error(`${response.status} for ${address}`);
    } catch (error) {
      if (frame.asked === asked && waits.length === 0) throw error;
    }
    await pause(waits.shift() ?? 0);
  }
}

function forgetOldest() {
  let total = 0;
  for (const frame of frames.values()) total += frame.bytes;
  for (const [address, frame] of frames) {
    if (total <= FRAME_ROOM_BYTES) return;
    if (!frame.array) continue;
    total -= frame.bytes;
    frames.delete(address);
  }
}

/** Return the array of an address if it is here, and mark it as used. */
function frameNow(address) {
  const frame = frames.get(address);
  if (!frame) return undefined;
  frames.delete(address);
  frames.set(address, frame);
  return frame.array;
}

/** Fetch an array; asking twice fetches once. */
function frameSoon(address, type) {
  const known = frames.get(address);
  if (known) {
    known.asked += 1;
    return known.promise;
  }
  const frame = { array: undefined, bytes: 0, promise: undefined, asked: 0 };
  frame.promise = download(address, type, frame).then(
    (array) => {
      frame.array = array;
      frame.bytes = array.byteLength;
      forgetOldest();
      return array;
    },
    (error) => {
      frames.delete(address);
      throw error;
    },
  );
  frames.set(address, frame);
  return frame.promise;
}

/** Count values into 256 bins between the extremes; NaN and infinities are left out. */
function histogramOf(array, type) {
  let low = 0;
  let high = 255;
  if (type !== "u1") [low, high] = extremes(array);
  const counts = new Float64Array(256);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < array.length; i += 1) {
    const bin = (array[i] - low) * scale;
    if (bin >= 0 && bin <= 255) counts[Math.round(bin)] += 1;
  }
  return { low, high, counts };
}

function extremes(array) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < array.length; i += 1) {
    const value = array[i];
    if (value < low && value !== -Infinity) low = value;
    if (value > high && value !== Infinity) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** The range of most values: what single outliers do not stretch. */
const percentiles = (histogram) => [percentile(histogram, 0.005), percentile(histogram, 0.995)];

/** How much two ranges share, of what they span together: 0 to 1. */
function overlap([a, b], [c, d]) {
  const span = Math.max(b, d) - Math.min(a, c);
  return span > 0 ? Math.max(0, Math.min(b, d) - Math.max(a, c)) / span : 1;
}

/** The value below which a share of the pixels lies, to the width of one bin. */
function percentile({ low, high, counts }, share) {
  const total = counts.reduce((sum, n) => sum + n, 0);
  let seen = 0;
  for (let bin = 0; bin < 256; bin += 1) {
    seen += counts[bin];
    if (seen >= share * total) return low + (bin / 255) * (high - low);
  }
  return high;
}
