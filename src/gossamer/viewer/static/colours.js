// One colour for a service while the page is open; eight that colour-blind people can tell apart, and the name beside them.

const PALETTE = 8;
const given = new Map();
const taken = new Array(PALETTE).fill(0);

function hash(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  return value >>> 0;
}

/** The number of a service's colour: by its name, moved on while another service holds it. */
export function colourOf(service) {
  let colour = given.get(service);
  if (colour !== undefined) return colour;
  const first = hash(service) % PALETTE;
  const least = Math.min(...taken);
  colour = first;
  while (taken[colour] > least) colour = (colour + 1) % PALETTE;
  taken[colour] += 1;
  given.set(service, colour);
  return colour;
}

/** The colour as a custom property, for `element.style.setProperty("--c", …)`. */
export const cssColour = (service) => "var(--s" + colourOf(service) + ")";

/** Gives an element its service's colour. */
export function paint(node, service) {
  node.style.setProperty("--c", cssColour(service));
  return node;
}

let probe = null;

/** The theme's tokens as canvas can use them. */
export function canvasColours() {
  if (!probe) {
    probe = document.createElement("i");
    probe.hidden = true;
    document.body.append(probe);
  }
  const read = (token) => {
    probe.style.color = "var(" + token + ")";
    return getComputedStyle(probe).color;
  };
  const services = [];
  for (let at = 0; at < PALETTE; at += 1) services.push(read("--s" + at));
  return { services, bars: read("--line-strong"), muted: read("--muted"), err: read("--err") };
}

/** A canvas sized to its box in device pixels; null while it has none. */
export function prepare(canvas) {
  const scale = Math.min(devicePixelRatio || 1, 3);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width || !height) return null;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}
