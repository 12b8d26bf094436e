// The whole trace in a strip: one thin line a span. Dragging chooses the part of the time the waterfall shows.

import { h } from "./dom.js";
import { canvasColours, colourOf, prepare } from "./colours.js";
import { drag } from "./strip.js";

export class Minimap {
	/** `zoom(from, to)` is told fractions of the whole. */
	constructor(zoom) {
		this.zoom = zoom;
		this.tree = null;
		this.canvas = h("canvas", { "aria-hidden": "true" });
		this.before = h("i", { class: "m-shade" });
		this.after = h("i", { class: "m-shade" });
		this.frame = h("i", { class: "m-frame" });
		this.element = h("div", { class: "minimap", title: "Drag to zoom, double-click for all" }, this.canvas, this.before, this.after, this.frame);
		this.element.addEventListener("pointerdown", (event) => this.down(event));
		this.element.addEventListener("dblclick", () => zoom(0, 1));
		new ResizeObserver(() => this.draw()).observe(this.element);
	}

	show(tree) {
		this.tree = tree;
		this.draw();
	}

	window(from, to) {
		this.frame.hidden = to - from > 0.9999;
		this.before.style.width = from * 100 + "%";
		this.after.style.left = to * 100 + "%";
		this.after.style.width = (1 - to) * 100 + "%";
		this.frame.style.left = from * 100 + "%";
		this.frame.style.width = (to - from) * 100 + "%";
	}

	draw() {
		const surface = this.tree && prepare(this.canvas);
		if (!surface) return;
		const { context, width, height } = surface;
		const { tree } = this;
		const colours = canvasColours();
		const scale = width / (tree.to - tree.from);
		const room = height - 8;
		const step = Math.min(5, room / Math.max(1, tree.size));
		const thick = Math.max(1, step - 1);
		context.clearRect(0, 0, width, height);
		// Errors last: nothing is painted over them.
		for (const failed of [0, 1]) {
			for (let at = 0; at < tree.size; at += 1) {
				const row = tree.order[at];
				if (tree.error[row] !== failed) continue;
				context.fillStyle = failed ? colours.err : colours.services[colourOf(tree.about(row).service)];
				context.fillRect((tree.start[row] - tree.from) * scale, 4 + at * step, Math.max(1, tree.dur[row] * scale), thick);
			}
		}
	}

	down(event) {
		if (!this.tree || event.button !== 0) return;
		drag(this.element, event, (from, to) => this.window(from, to), (from, to) => {
			if (to > from) this.zoom(from, to);
			else this.window(...this.shown);
		});
	}
}
