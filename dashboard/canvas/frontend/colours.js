/* Colours: the Okabe-Ito palette, perceptually even maps, and packing into canvas pixels. */

const OKABE_ITO = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"];

/** What each pixel of a comparison is: colour, and a pattern as the second cue. */
const VERDICTS = [
  { word: "true_positive", colour: "#009E73", pattern: "plain" },
  { word: "false_positive", colour: "#D55E00", pattern: "dashes" },
  { word: "missed", colour: "#56B4E9", pattern: "crosses" },
];

/** 33 even stops of each map, dark to bright; between them it is interpolated (error < 2 of 255). */
const COLORMAP_STOPS = {
  viridis:
    "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d " +
    "2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f978b 1f9f88 21a685 27ad81 31b57b " +
    "3dbc74 4cc26c 5cc863 6ece58 81d34d 95d840 aadc32 c0df25 d5e21a eae51a fde725",
  magma:
    "000004 030312 0a0822 130d34 1d1147 29115a 36106b 440f76 51127c 5d177f 6a1c81 " +
    "762181 832681 902a81 9c2e7f aa337d b73779 c23b75 cf4070 db476a e55064 ee5b5e " +
    "f4695c f9785d fb8761 fd9668 fea571 feb47b fec287 fed194 fde0a1 fceeb0 fcfdbf",
  grey: "000000 ffffff",
};

const colormapCache = new Map();

/** Parse "#rrggbb" (or a short "#rgb") into [r, g, b]. */
function parseColour(text) {
  let hex = String(text).replace("#", "");
  if (hex.length === 3) hex = [...hex].map((c) => c + c).join("");
  const value = Number.parseInt(hex.slice(0, 6), 16) || 0;
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** One canvas pixel as a little-endian 32-bit word (every browser platform is little-endian). */
function packPixel(r, g, b, a) {
  return ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** Return 256 canvas pixels of a colour map. */
function colormapPixels(name) {
  if (colormapCache.has(name)) return colormapCache.get(name);
  const stops = COLORMAP_STOPS[name].split(" ").map(parseColour);
  const pixels = new Uint32Array(256);
  for (let i = 0; i < 256; i += 1) {
    const position = (i / 255) * (stops.length - 1);
    const lower = Math.min(stops.length - 2, Math.floor(position));
    const mix = stops[lower].map((v, k) => Math.round(v + (stops[lower + 1][k] - v) * (position - lower)));
    pixels[i] = packPixel(mix[0], mix[1], mix[2], 255);
  }
  colormapCache.set(name, pixels);
  return pixels;
}

/** Return a colour map as a CSS gradient for a legend. */
function colormapGradient(name) {
  const stops = COLORMAP_STOPS[name].split(" ").filter((_, i) => i % 4 === 0 || name === "grey");
  return `linear-gradient(to right, ${stops.map((s) => `#${s}`).join(", ")})`;
}

/** The colour of an instance: its hue follows the id, so it is the same in every section. */
function instanceColour(id) {
  const base = parseColour(OKABE_ITO[(id - 1) % OKABE_ITO.length]);
  const shade = Math.floor((id - 1) / OKABE_ITO.length) % 3; // as it is, lighter, darker
  if (shade === 1) return base.map((v) => Math.round(v + (255 - v) * 0.42));
  return shade === 2 ? base.map((v) => Math.round(v * 0.68)) : base;
}
