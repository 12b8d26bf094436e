// Matching requests over time, failed ones on top in another colour. Dragging selects a time range.

import { h } from "./dom.js";
import { clock, count, isToday, moment } from "./format.js";
import { canvasColours, prepare } from "./colours.js";

const LEAST = 60;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

export class Strip {
	/** `choose(from, to)` is told microseconds. */
	constructor(choose) {
		this.choose = choose;
		this.line = null;
		this.canvas = h("canvas", { role: "img" });
		this.brush = h("div", { class: "brush", hidden: true });
		this.element = h("div", { class: "strip", title: "Drag to select a time range", hidden: true }, this.canvas, this.brush);
		this.element.addEventListener("pointerdown", (event) => this.down(event));
		new ResizeObserver(() => this.draw()).observe(this.element);
	}

	/** `line`: {from, step, hits, errors}, as the API sends it. */
	show(line) {
		// A few minutes of use are drawn at the right, not blown up to the whole width.
		const missing = Math.max(0, LEAST - line.hits.length);
		const pad = (list) => new Array(missing).fill(0).concat(list);
		this.line = line.hits.some(Boolean) ? { from: line.from - missing * line.step, step: line.step, hits: pad(line.hits), errors: pad(line.errors) } : null;
		this.element.hidden = !this.line;
		this.draw();
	}

	draw() {
		const surface = this.line && prepare(this.canvas);
		if (!surface) return;
		const { context, width, height } = surface;
		const { from, step, hits, errors } = this.line;
		const colours = canvasColours();
		const most = Math.max(1, ...hits);
		const room = height - 34;
		const each = width / hits.length;
		const scale = (number) => (number ? Math.max(2, (number / most) * room) : 0);
		let failed = 0;
		let all = 0;
		context.clearRect(0, 0, width, height);
		hits.forEach((number, at) => {
			const left = at * each;
			const wide = Math.max(1, each - (each > 4 ? 1 : 0));
			const top = height - 17;
			const bad = Math.min(errors[at] || 0, number);
			const low = scale(bad);
			const high = Math.max(scale(number), low);
			context.fillStyle = colours.bars;
			context.fillRect(left, top - high, wide, high - low);
			context.fillStyle = colours.err;
			context.fillRect(left, top - low, wide, low);
			all += number;
			failed += bad;
		});
		this.canvas.setAttribute("aria-label", "Over time: " + count(all) + " traces, " + count(failed) + " with errors");
		this.axis(context, colours, width, height, from, step * hits.length);
		context.textAlign = "left";
		context.fillText("traces, at most " + count(most), 8, 12);
	}

	axis(context, colours, width, height, from, span) {
		context.font = "10.5px " + getComputedStyle(document.body).fontFamily;
		context.fillStyle = colours.muted;
		context.textAlign = "center";
		context.fillRect(0, height - 17, width, 0.5);
		const seconds = span / 1e6;
		const size = (STEPS.find((step) => seconds / step <= width / 90) || seconds) * 1e6;
		// Round in local time, hence the shift.
		const shift = new Date(from / 1000).getTimezoneOffset() * 60e6;
		for (let at = Math.ceil((from - shift) / size) * size + shift; at < from + span; at += size) {
			const text = seconds > 86400 || !isToday(at) ? moment(at, false).slice(5, -3) : clock(at, false).slice(0, seconds > 1200 ? 5 : 8);
			const left = ((at - from) / span) * width;
			if (left > 28 && left < width - 28) context.fillText(text, left, height - 4);
		}
	}

	down(event) {
		if (event.button !== 0 || !this.line) return;
		const { from, step, hits } = this.line;
		drag(this.element, event, (a, b) => {
			this.brush.hidden = false;
			this.brush.style.left = a * 100 + "%";
			this.brush.style.width = (b - a) * 100 + "%";
		}, (a, b) => {
			this.brush.hidden = true;
			if (b > a) this.choose(from + a * step * hits.length, from + b * step * hits.length);
		});
	}
}

/** Follows a pointer over an element as a range of its width (0..1); a mere click ends as an empty range. */
export function drag(element, event, moved, ended) {
	const box = element.getBoundingClientRect();
	const place = (at) => Math.max(0, Math.min(1, (at.clientX - box.left) / box.width));
	const start = place(event);
	const stop = new AbortController();
	const range = (at) => {
		const now = place(at);
		return Math.abs(now - start) * box.width < 4 ? [start, start] : [Math.min(start, now), Math.max(start, now)];
	};
	const listen = (name, call) => element.addEventListener(name, call, { signal: stop.signal });
	element.setPointerCapture(event.pointerId);
	listen("pointermove", (at) => {
		const [from, to] = range(at);
		if (to > from) moved(from, to);
	});
	listen("pointerup", (at) => {
		stop.abort();
		ended(...range(at));
	});
	listen("pointercancel", () => {
		stop.abort();
		ended(0, 0);
	});
}
