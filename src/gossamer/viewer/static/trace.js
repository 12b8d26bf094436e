// The page of one trace: what it is, where its time went, and the span that was chosen.

import { button, copy, div, fill, h, icon, iconButton, line, say, span, narrow } from "./dom.js";
import { clock, count, duration, day, moment, plural } from "./format.js";
import { swatch } from "./colours.js";
import { go, state } from "./state.js";
import { split } from "./splits.js";
import { fetchTrace } from "./skeleton.js";
import { Minimap } from "./minimap.js";
import { Panel } from "./panel.js";
import { Tree } from "./tree.js";
import { Waterfall } from "./waterfall.js";

export class TraceView {
	/** `search(term)` puts a term into the search. */
	constructor(element, search) {
		this.element = element;
		this.trace = "";
		this.tree = null;
		this.waterfall = new Waterfall({
			select: (row) => go({ span: this.tree.nameOf(row) }),
			open: () => this.openPanel(),
			zoomed: (from, to) => this.zoomed(from, to, true),
		});
		this.minimap = new Minimap((from, to) => this.waterfall.setZoom(from, to));
		this.panel = new Panel({ close: () => this.closePanel(), tab: (id) => go({ panel: id }), search });
		this.edge = h("div", { class: "split", role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": "Width of the span panel", hidden: true });
		this.body = div("t-body", this.waterfall.element, this.edge, this.panel.element);
		this.head = h("header", { class: "t-head" });
		this.tools = this.makeTools();
		split(this.edge, this.body, { name: "panel", property: "--panel-width", least: 260, most: 900, first: 420, sign: -1 });
		split(this.waterfall.split, this.waterfall.element, { name: "names", property: "--names", least: 15, most: 80, first: 42, unit: "%", whole: () => this.waterfall.element.clientWidth });
	}

	makeTools() {
		this.found = h("span", { class: "found", role: "status" });
		this.findBox = h("input", { type: "search", placeholder: "Find in trace", "aria-label": "Find in trace", spellcheck: "false",
			on: { input: () => go({ find: this.findBox.value }), keydown: (event) => this.findKey(event) } });
		this.zoomNow = h("span", { class: "now", "aria-live": "off", text: "100 %" });
		return div("t-tools",
			div("t-find", icon("search"), this.findBox, this.found,
				iconButton("up", "Previous match", () => this.findNext(-1), "mini", "N"),
				iconButton("down", "Next match", () => this.findNext(1), "mini", "n")),
			h("span", { class: "gap" }),
			h("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
				iconButton("minus", "Zoom out", () => this.zoomStep(1.6), "mini", "-"),
				this.zoomNow,
				iconButton("plus", "Zoom in", () => this.zoomStep(1 / 1.6), "mini", "+")));
	}

	update(now, before) {
		if (!now.trace) return this.close();
		if (now.trace !== this.trace) return this.load(now.trace);
		if (!this.tree) return;
		if (now.view !== before.view) this.header();
		if (now.find !== before.find) this.find(now.find);
		if (now.zoom !== before.zoom) this.applyZoom(now.zoom);
		if (now.span !== before.span) this.applySpan(now.span);
	}

	close() {
		if (this.abort) this.abort.abort();
		this.trace = "";
		this.tree = null;
		this.element.hidden = true;
		this.panel.hide();
	}

	async load(trace, keep = false) {
		if (this.abort) this.abort.abort();
		this.abort = new AbortController();
		const { signal } = this.abort;
		this.trace = trace;
		this.missing = false;
		this.element.hidden = false;
		if (!keep) {
			this.tree = null;
			this.grown = 0;
			this.setPanel(false);
			this.element.setAttribute("aria-busy", "true");
			// A trace that comes at once shows no message in between.
			this.slow = setTimeout(() => this.message("Reading the trace…"), 150);
		}
		try {
			let known = keep;
			await fetchTrace(trace, signal, (skeleton, complete) => {
				if (signal.aborted) return;
				clearTimeout(this.slow);
				this.show(skeleton, complete, known);
				known = true;
			});
		} catch (error) {
			clearTimeout(this.slow);
			if (error.name !== "AbortError" && !signal.aborted && !keep) this.failed(error);
		}
		this.element.removeAttribute("aria-busy");
	}

	failed(error) {
		this.missing = error.status === 404;
		const { at_time: removed } = error.body?.error || {};
		if (removed) this.message("Removed by retention at " + moment(removed, false), "The viewer holds the newest spans only: --keep sets how many.");
		else if (error.status === 404) this.message("This trace is not here", "If it has yet to arrive, it is shown as soon as it does.");
		else this.message("The trace could not be read", error.message);
	}

	message(title, ...lines) {
		fill(this.element, div("t-wait", h("h1", { text: title }), lines.map((text) => h("p", { text: text })),
			h("p", {}, button("Back to the list", "plain", () => go({ view: "traces", trace: "" }, true)))));
	}

	show(skeleton, complete, keep) {
		const before = this.tree;
		const named = before && this.waterfall.active >= 0 ? before.nameOf(this.waterfall.active) : "";
		this.tree = new Tree(skeleton);
		this.facts = skeleton;
		this.complete = complete;
		if (keep && before) this.carryOver(before);
		this.header();
		if (!this.body.isConnected) fill(this.element, this.head, this.minimap.element, this.body);
		this.minimap.show(this.tree);
		this.waterfall.show(this.tree, keep);
		if (keep && named) this.waterfall.active = Math.max(0, this.tree.rowOf(named));
		const now = state();
		this.applyZoom(now.zoom);
		this.find(now.find);
		this.applySpan(now.span);
		if (complete && !keep) say(this.title() + ", " + plural(this.tree.size, "span") + ", " + plural(this.tree.errors, "error"));
	}

	// What was folded stays folded when the trace grows.
	carryOver(before) {
		const closed = new Set();
		for (let row = 0; row < before.size; row += 1) if (before.folded[row]) closed.add(before.nameOf(row));
		if (!closed.size) return;
		for (let row = 0; row < this.tree.size; row += 1) if (closed.has(this.tree.nameOf(row))) this.tree.folded[row] = this.tree.children[row] ? 1 : 0;
		this.tree.unfold();
	}

	root() {
		return this.tree.size ? this.tree.roots.find((row) => !this.tree.orphan[row]) ?? this.tree.roots[0] : -1;
	}

	title() {
		const root = this.root();
		return root < 0 ? "Empty trace" : line(this.tree.about(root).resource, 200);
	}

	header() {
		const { tree } = this;
		const root = this.root();
		const about = root < 0 ? { service: "", name: "" } : tree.about(root);
		const alone = state().view === "trace";
		document.title = this.title() + " · Gossamer";
		fill(this.head,
			div("t-title",
				alone || narrow() ? iconButton("back", "Back to the list", () => this.back(), "tool icon", "Esc") : null,
				h("h1", {}, span("v", this.title()), " ", span("muted v", about.name === this.title() ? "" : line(about.name, 80))),
				iconButton("link", "Copy a link to this trace", (event) => copy(location.href, event.currentTarget), "tool icon", "y"),
				alone || narrow() ? null : iconButton("wide", "Whole width", () => go({ view: "trace" }, true), "tool icon", "Enter"),
				alone || narrow() ? null : iconButton("close", "Close the trace", () => this.back(), "tool icon", "Esc")),
			this.factLine(), this.notes(), this.tools);
	}

	factLine() {
		const { tree } = this;
		const shown = tree.services.slice(0, 6);
		return div("t-facts",
			h("span", {}, h("b", { text: duration(tree.to - tree.from) })),
			h("span", {}, h("b", { text: count(tree.size) }), tree.size === 1 ? " span" : " spans", this.complete ? "" : " so far"),
			tree.errors
				? h("button", { type: "button", class: "plain bad", title: "Next error (e)", on: { click: () => this.nextError(1) } }, icon("error"), " " + plural(tree.errors, "error"))
				: span("", "no errors"),
			span("", moment(tree.from), day(tree.from) + " " + clock(tree.from)),
			h("span", { class: "t-services" }, shown.map(([service, spans]) => h("span", {}, swatch(service), span("v", line(service, 60)), span("num", count(spans)))),
				tree.services.length > shown.length ? span("", "and " + (tree.services.length - shown.length) + " more services") : null),
			h("button", { type: "button", class: "plain mono", title: "Copy the trace id", on: { click: (event) => copy(this.trace, event.currentTarget) } }, this.trace.length > 16 ? this.trace.slice(0, 8) + "…" + this.trace.slice(-8) : this.trace));
	}

	notes() {
		const notes = [];
		const missing = this.facts.orphans.length;
		if (missing) notes.push(h("p", {}, plural(missing, "span names a parent", "spans name a parent") + " that is not here: it has not arrived yet, was not sampled, or was lost."));
		const double = this.facts.duplicates.length;
		if (double) notes.push(h("p", {}, plural(double, "span") + " arrived more than once, marked \"twice\"."));
		if (this.grown > 0) {
			notes.push(h("p", { role: "status" }, "This trace has grown by " + plural(this.grown, "span") + ". ",
				button("Show them", "plain", () => this.refresh()), h("kbd", { text: "." })));
		}
		return notes.length ? div("t-notes", notes) : null;
	}

	back() {
		go({ view: "traces", trace: "" }, true);
	}

	/** News about the open trace: says how much there is to add. */
	news(rows) {
		const mine = rows.find((row) => row.trace === this.trace);
		if (mine && this.missing) this.load(this.trace);
		if (!mine || !this.tree || !this.complete) return;
		const more = mine.spans - this.tree.size;
		if (more > 0 && more !== this.grown) {
			this.grown = more;
			this.header();
		}
	}

	/** Reads the trace again; true when there was something to add. */
	refresh() {
		if (!this.grown) return false;
		this.grown = 0;
		this.load(this.trace, true);
		return true;
	}

	applyZoom(text) {
		const [from, to] = (text || "0-1").split("-").map(Number);
		const valid = from >= 0 && to <= 1 && from < to;
		this.waterfall.setZoom(valid ? from : 0, valid ? to : 1, false);
		this.zoomed(...this.waterfall.zoom, false);
	}

	zoomed(from, to, tell) {
		this.minimap.window(from, to);
		const factor = 1 / (to - from);
		this.zoomNow.textContent = factor < 10 ? Math.round(factor * 100) + " %" : Math.round(factor) + "×";
		if (tell) go({ zoom: to - from > 0.9999 ? "" : from.toFixed(5) + "-" + to.toFixed(5) });
	}

	// Around the chosen span while it is in sight, else around the middle.
	zoomStep(factor) {
		const { tree, waterfall } = this;
		let around = 0.5;
		const row = waterfall.selected;
		if (row >= 0) {
			const at = ((tree.start[row] + tree.dur[row] / 2 - tree.from) / (tree.to - tree.from) - waterfall.zoom[0]) / (waterfall.zoom[1] - waterfall.zoom[0]);
			if (at >= 0 && at <= 1) around = at;
		}
		waterfall.zoomBy(factor, around);
	}

	applySpan(name) {
		const row = name ? this.tree.rowOf(name) : -1;
		if (row < 0) {
			this.setPanel(false);
			return this.waterfall.setSelected(-1);
		}
		if (this.waterfall.selected !== row) this.waterfall.setSelected(row);
		// On a phone the panel covers the page: it opens by a tap, not because a row is marked.
		if (!narrow() || !this.panel.element.hidden) this.setPanel(true, row);
	}

	openPanel() {
		if (this.waterfall.selected < 0) return;
		this.setPanel(true, this.waterfall.selected);
		if (narrow()) this.panel.element.focus();
	}

	setPanel(open, row) {
		this.edge.hidden = !open;
		const was = this.body.classList.contains("with-panel");
		this.body.classList.toggle("with-panel", open);
		if (open) this.panel.show(this.tree, row, state().panel);
		else this.panel.hide();
		if (was !== open && this.tree && row >= 0) this.waterfall.goTo(row, false);
	}

	closePanel() {
		this.setPanel(false);
		if (!narrow()) go({ span: "", panel: "" });
		this.waterfall.focus();
	}

	find(text) {
		if (this.findBox.value !== text) this.findBox.value = text;
		const rows = text.trim() ? this.tree.find(text.trim()) : null;
		this.hits = rows;
		this.waterfall.setHits(rows ? new Set(rows) : null);
		this.sayFound();
	}

	sayFound() {
		const { hits } = this;
		if (!hits) return void (this.found.textContent = "");
		const at = hits.indexOf(this.waterfall.active);
		this.found.textContent = hits.length ? (at >= 0 ? at + 1 + " of " : "") + count(hits.length) : "none";
	}

	findNext(step) {
		const { hits } = this;
		if (!hits || !hits.length) return;
		const set = this.waterfall.hits;
		this.waterfall.goTo(this.tree.next(this.waterfall.active, step, (row) => set.has(row)));
		this.sayFound();
	}

	findKey(event) {
		if (event.key === "Enter") {
			event.preventDefault();
			this.findNext(event.shiftKey ? -1 : 1);
		} else if (event.key === "Escape") {
			event.preventDefault();
			event.stopPropagation();
			go({ find: "" });
			this.waterfall.focus();
		}
	}

	nextError(step) {
		if (!this.tree || !this.tree.errors) return;
		this.waterfall.goTo(this.tree.next(this.waterfall.active, step, (row) => this.tree.error[row] === 1));
		this.waterfall.focus();
	}
}
