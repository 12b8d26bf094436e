// Eight service colours that colour-blind people can tell apart; the name always stands beside them.

import { h } from "./dom.js";
import { preference } from "./state.js";

const PALETTE = 8;
const REMEMBERED = 200;
const given = new Map();
for (const service of (preference("services") || "").split("\n").filter(Boolean)) given.set(service, given.size % PALETTE);

/** The number of a service's colour: in the order services were first met, so that few have the most different ones. */
export function colourOf(service) {
	let colour = given.get(service);
	if (colour === undefined) {
		colour = given.size % PALETTE;
		given.set(service, colour);
		if (given.size <= REMEMBERED && service.length < 100) preference("services", [...given.keys()].join("\n"));
	}
	return colour;
}

/** Gives an element its service's colour. */
export function paint(node, service) {
	node.style.setProperty("--c", "var(--s" + colourOf(service) + ")");
	return node;
}

export const swatch = (service) => paint(h("i", { class: "swatch" }), service);

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
