// The waterfall: a tree grid of which only the rows on screen exist. Rows are recycled while it scrolls.

import { div, focused, h, icon, iconButton, line, span, narrow } from "./dom.js";
import { duration, plural, ticks } from "./format.js";
import { paint } from "./colours.js";

const LEAST_ROWS = 40;
const SPARE = 6;

export class Waterfall {
	/** `on`: select(row), open(row), zoomed(from, to). */
	constructor(on) {
		this.on = on;
		this.tree = null;
		this.active = -1;
		this.selected = -1;
		this.hits = null;
		this.pool = [];
		this.zoom = [0, 1];
		this.pending = false;
		this.element = this.build();
		this.scroll.addEventListener("scroll", () => this.soon(), { passive: true });
		this.scroll.addEventListener("keydown", (event) => this.key(event));
		this.scroll.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
		this.rows.addEventListener("click", (event) => this.click(event));
		this.scroll.addEventListener("focus", () => this.focusActive());
		new ResizeObserver(() => this.resize()).observe(this.scroll);
	}

	build() {
		this.axis = h("div", { class: "w-axis", "aria-hidden": "true" });
		this.rows = h("div", { class: "w-rows", role: "rowgroup" });
		this.lines = h("div", { class: "w-lines", "aria-hidden": "true" });
		this.scroll = h("div", { class: "w-scroll", role: "treegrid", tabindex: "0", "aria-label": "Spans of the trace" }, this.lines, this.rows);
		this.split = h("div", { class: "w-split", role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": "Width of the names" });
		const head = div("w-head", div("w-head-name", span("", "Span"), h("span", { class: "w-folds" },
			iconButton("plus", "Unfold all", () => this.level(Infinity)),
			iconButton("minus", "Fold all", () => this.level(1)))), this.split, this.axis);
		return div("waterfall", head, this.scroll);
	}

	/** Shows a tree. The same trace grown keeps its place. */
	show(tree, keep = false) {
		this.tree = tree;
		this.hits = null;
		if (!keep) {
			this.active = tree.size ? tree.visible[0] : -1;
			this.selected = -1;
			this.scroll.scrollTop = 0;
		}
		this.scroll.setAttribute("aria-rowcount", String(tree.size));
		this.resize();
	}

	resize() {
				this.height = narrow() ? 44 : 26;
		const wanted = Math.max(LEAST_ROWS, Math.ceil(this.scroll.clientHeight / this.height) + SPARE);
		while (this.pool.length < wanted) {
			const made = makeRow();
			this.pool.push(made);
			this.rows.append(made.node);
		}
		while (this.pool.length > wanted) this.pool.pop().node.remove();
		this.relayout();
	}

	/** After folding, zooming or a new size: every row is written anew. */
	relayout() {
		if (!this.tree) return;
		this.rows.style.height = this.tree.visible.length * this.height + "px";
		for (const slot of this.pool) slot.at = -1;
		this.drawAxis();
		this.draw();
	}

	soon() {
		if (this.pending) return;
		this.pending = true;
		requestAnimationFrame(() => {
			this.pending = false;
			this.draw();
		});
	}

	draw() {
		const { tree, pool, height } = this;
		if (!tree) return;
		const total = tree.visible.length;
		const size = pool.length;
		let first = Math.max(0, Math.floor(this.scroll.scrollTop / height) - (SPARE >> 1));
		first = Math.max(0, Math.min(first, total - size));
		for (let at = first; at < first + size; at += 1) {
			const slot = pool[at % size];
			if (at >= total) {
				if (!slot.node.hidden) slot.node.hidden = true;
				slot.at = -1;
			} else if (slot.at !== at) this.write(slot, at);
		}
		this.keepFocus(first, first + size);
	}

	write(slot, at) {
		const { tree } = this;
		const row = tree.visible[at];
		const about = tree.about(row);
		const node = slot.node;
		slot.at = at;
		slot.row = row;
		node.hidden = false;
		node.style.transform = "translateY(" + at * this.height + "px)";
		const parent = tree.parent[row];
		const hop = parent < 0 || tree.about(parent).service !== about.service;
		const children = tree.children[row];
		const failed = tree.error[row] === 1;
		slot.indent.style.width = Math.min(tree.depth[row] * 14, 210) + "px";
		slot.fold.className = "w-fold" + (children ? (tree.folded[row] ? " closed" : " open") : "");
		slot.service.textContent = hop ? line(about.service, 60) : "";
		slot.main.textContent = line(about.resource, 200);
		slot.sub.textContent = about.resource === about.name ? "" : line(about.name, 80);
		const folded = children && tree.folded[row];
		slot.note.textContent = folded ? "+" + (tree.last[tree.position[row]] - tree.position[row]) : tree.orphan[row] ? "parent missing" : tree.twice.has(row) ? "twice" : "";
		paint(node, about.service);
		this.bar(slot, row, failed);
		this.mark(slot);
		node.setAttribute("aria-level", String(tree.depth[row] + 1));
		node.setAttribute("aria-rowindex", String(tree.position[row] + 1));
		if (children) node.setAttribute("aria-expanded", String(!tree.folded[row]));
		else node.removeAttribute("aria-expanded");
		node.setAttribute("aria-label", this.spoken(row));
	}

	spoken(row) {
		const { tree } = this;
		const about = tree.about(row);
		const parts = [line(about.name, 80)];
		if (about.resource !== about.name) parts.push(line(about.resource, 120));
		parts.push(duration(tree.dur[row]));
		if (tree.error[row]) parts.push("error");
		if (tree.orphan[row]) parts.push("parent missing");
		parts.push(line(about.service, 60), "level " + (tree.depth[row] + 1));
		return parts.join(", ");
	}

	bar(slot, row, failed) {
		const { tree } = this;
		const whole = tree.to - tree.from;
		const scale = 1 / (whole * (this.zoom[1] - this.zoom[0]));
		const begin = (tree.start[row] - tree.from - this.zoom[0] * whole) * scale;
		const end = begin + tree.dur[row] * scale;
		const left = Math.max(0, Math.min(1, begin));
		const right = Math.max(0, Math.min(1, end));
		const outside = end < 0 || begin > 1;
		slot.bar.hidden = outside;
		slot.bar.style.left = left * 100 + "%";
		slot.bar.style.width = (right - left) * 100 + "%";
		slot.node.classList.toggle("failed", failed);
		const style = slot.label.style;
		slot.label.textContent = (outside ? (end < 0 ? "◂ " : "▸ ") : "") + duration(tree.dur[row]);
		if (outside ? end < 0 : right <= 0.8) {
			style.left = "calc(" + right * 100 + "% + 5px)";
			style.right = "auto";
		} else {
			style.left = "auto";
			style.right = outside ? "4px" : left >= 0.18 ? "calc(" + (1 - left) * 100 + "% + 5px)" : (1 - right) * 100 + "%";
		}
		slot.label.classList.toggle("on", !outside && right > 0.8 && left < 0.18);
	}

	mark(slot) {
		const { row, node } = slot;
		node.setAttribute("aria-selected", String(row === this.selected));
		node.classList.toggle("hit", this.hits !== null && this.hits.has(row));
		node.tabIndex = row === this.active ? 0 : -1;
	}

	marks() {
		for (const slot of this.pool) if (slot.at >= 0) this.mark(slot);
	}

	// Focus belongs to a row, not to the element that showed it before the scroll.
	keepFocus(first, end) {
		const at = this.active < 0 ? -1 : this.tree.shownAt[this.active];
		const shown = at >= first && at < end;
		this.scroll.tabIndex = shown ? -1 : 0;
		const held = this.rows.contains(focused());
		if (held && !shown) this.scroll.focus({ preventScroll: true });
		else if (shown && (held || focused() === this.scroll)) {
			const node = this.pool[at % this.pool.length].node;
			if (node !== focused()) node.focus({ preventScroll: true });
		}
	}

	focusActive() {
		if (!this.tree || this.active < 0) return;
		const at = this.tree.shownAt[this.active];
		if (at >= 0) this.bring(at);
	}

	focus() {
		if (!this.tree || this.active < 0) return;
		this.scroll.tabIndex = 0;
		this.scroll.focus({ preventScroll: true });
		this.draw();
	}

	bring(at) {
		const top = at * this.height;
		const { scroll } = this;
		if (top < scroll.scrollTop) scroll.scrollTop = Math.max(0, top - this.height);
		else if (top + this.height > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top - scroll.clientHeight + 2 * this.height;
		this.draw();
	}

	/** Makes a row the one keys act on; opens its ancestors. */
	goTo(row, select = true) {
		if (!this.tree || row < 0) return;
		this.active = row;
		if (this.tree.reveal(row)) this.relayout();
		if (select) this.selected = row;
		this.bring(this.tree.shownAt[row]);
		this.marks();
		if (select) this.on.select(row);
	}

	/** Marks a row selected without telling anybody (the address said so). */
	setSelected(row) {
		this.selected = row;
		if (row >= 0) this.goTo(row, false);
		else this.marks();
	}

	setHits(rows) {
		this.hits = rows;
		this.marks();
	}

	move(step) {
		const { tree } = this;
		if (!tree || !tree.visible.length) return;
		const at = Math.max(0, Math.min(tree.visible.length - 1, Math.max(0, tree.shownAt[this.active]) + step));
		this.goTo(tree.visible[at]);
	}

	click(event) {
		const node = event.target.closest(".w-row");
		const slot = this.pool.find((each) => each.node === node);
		if (!slot || slot.at < 0) return;
		const { row } = slot;
		if (event.target.closest(".w-fold") && this.tree.children[row]) {
			this.active = row;
			this.setFold(row, !this.tree.folded[row]);
		} else {
			this.goTo(row);
			this.on.open(row);
		}
		this.focus();
	}

	setFold(row, yes) {
		if (this.tree.fold(row, yes)) this.relayout();
	}

	/** Opens `levels` levels; Infinity all of them. */
	level(levels) {
		this.tree.foldFrom(levels);
		while (this.active >= 0 && this.tree.shownAt[this.active] < 0) this.active = this.tree.parent[this.active];
		this.relayout();
	}

	levelBy(step) {
		const { levels, deepest } = this.tree.openLevels();
		const next = Math.max(0, levels + step);
		this.level(next >= deepest ? Infinity : next);
	}

	key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey || !this.tree || this.active < 0) return;
		const { tree, active } = this;
		const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.height) - 1);
		const open = tree.children[active] && !tree.folded[active];
		switch (event.key) {
			case "ArrowDown": this.move(1); break;
			case "ArrowUp": this.move(-1); break;
			case "PageDown": this.move(page); break;
			case "PageUp": this.move(-page); break;
			case "Home": this.goTo(tree.visible[0]); break;
			case "End": this.goTo(tree.visible[tree.visible.length - 1]); break;
			case "ArrowRight":
				if (open) this.goTo(tree.firstChild[active]);
				else this.setFold(active, false);
				break;
			case "ArrowLeft":
				if (open) this.setFold(active, true);
				else if (tree.parent[active] >= 0) this.goTo(tree.parent[active]);
				break;
			case "Enter": case " ":
				this.goTo(active);
				this.on.open(active);
				break;
			default: return;
		}
		event.preventDefault();
		event.stopPropagation();
	}

	/** Shows part of the time, as fractions of the whole. */
	setZoom(from, to, tell = true) {
		const width = Math.min(1, Math.max(to - from, 1e-5));
		const left = Math.max(0, Math.min(1 - width, from));
		this.zoom = [left, left + width];
		this.relayout();
		if (tell) this.on.zoomed(left, left + width);
	}

	zoomBy(factor, around = 0.5) {
		const [from, to] = this.zoom;
		const width = (to - from) * factor;
		const centre = from + (to - from) * around;
		this.setZoom(centre - width * around, centre + width * (1 - around));
	}

	panBy(share) {
		const [from, to] = this.zoom;
		const step = (to - from) * share;
		this.setZoom(from + step, to + step);
	}

	wheel(event) {
		if (!event.ctrlKey && !event.metaKey) return;
		event.preventDefault();
		const box = this.axis.getBoundingClientRect();
		this.zoomBy(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 150), Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
	}

	drawAxis() {
		const whole = this.tree.to - this.tree.from;
		const from = this.zoom[0] * whole;
		const to = this.zoom[1] * whole;
		const marks = [];
		const lines = [];
		for (const at of ticks(from, to, Math.max(2, this.axis.clientWidth / 110))) {
			const place = ((at - from) / (to - from)) * 100;
			const text = span("w-tick", at === 0 ? "0" : duration(at));
			text.style.left = place + "%";
			if (place < 93) marks.push(text);
			const rule = h("i");
			rule.style.left = place + "%";
			lines.push(rule);
		}
		this.axis.replaceChildren(...marks);
		this.lines.replaceChildren(div("", ...lines));
		this.lines.firstChild.style.height = Math.max(this.tree.visible.length * this.height, this.scroll.clientHeight) + "px";
		this.scroll.setAttribute("aria-label", "Spans of the trace, " + plural(this.tree.size, "span"));
	}
}

function makeRow() {
	const slot = { at: -1, row: -1 };
	slot.indent = h("span", { class: "w-indent" });
	slot.fold = h("span", { class: "w-fold", "aria-hidden": "true" }, icon("right"));
	slot.service = h("span", { class: "w-service v" });
	slot.main = h("span", { class: "w-main v" });
	slot.sub = h("span", { class: "w-sub v" });
	slot.note = h("span", { class: "w-note" });
	slot.bar = h("i", { class: "w-bar" });
	slot.label = h("span", { class: "w-label" });
	slot.node = h("div", { class: "w-row", role: "row", tabindex: "-1" },
		h("div", { class: "w-name", role: "gridcell" }, slot.indent, slot.fold, h("i", { class: "swatch" }), icon("error"), slot.service, slot.main, slot.sub, slot.note),
		h("div", { class: "w-time", role: "gridcell" }, slot.bar, slot.label));
	slot.node.hidden = true;
	return slot;
}
