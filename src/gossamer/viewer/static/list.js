// The list of traces. What is being read never moves: news wait in a bar until they are asked for.

import { button, div, fill, focused, h, icon, line, say, span, NARROW, narrow } from "./dom.js";
import { clock, count, day, duration, isToday, moment, plural } from "./format.js";
import { get } from "./api.js";
import { paint, swatch } from "./colours.js";
import { go, onState, range, state } from "./state.js";
import { Strip } from "./strip.js";

const PAGE = 100;
const MOST = 3000;
const HEADINGS = [["Start", "newest"], ["Service"], ["Request"], ["Duration", "slowest"], ["Spans", "spans"], ["Errors"]];

export class List {
	/** `on`: fault(error) for the search box, empty(place) and nothing(place) draw what stands there without rows. */
	constructor(element, on) {
		this.element = element;
		this.on = on;
		this.rows = [];
		this.nodes = new Map();
		this.active = "";
		this.waiting = 0;
		this.loading = null;
		this.build();
		NARROW.addEventListener("change", () => this.layout());
		onState((now, before) => this.follow(now, before));
	}

	build() {
		this.strip = new Strip((from, to) => go({ since: "", from: String(Math.floor(from)), to: String(Math.ceil(to)) }));
		this.heads = h("div", { class: "list-cols", role: "row" });
		this.body = h("div", { role: "rowgroup" });
		this.grid = h("div", { role: "grid", "aria-label": "Traces", "aria-rowcount": "-1", on: { keydown: (event) => this.key(event), click: (event) => this.click(event) } }, this.heads, this.body);
		this.more = h("div", { class: "more", hidden: true });
		this.place = h("div", { hidden: true });
		this.scroll = h("div", { class: "list-scroll", on: { scroll: () => this.scrolled() } }, this.grid, this.more, this.place);
		this.newsPlace = div("news-place");
		fill(this.element, this.strip.element, this.newsPlace, this.scroll);
		this.headings();
		this.layout();
	}

	headings() {
		const { sort } = state();
		fill(this.heads, HEADINGS.map(([text, by]) => h("div", { role: "columnheader", class: by === "spans" ? "right" : null, "aria-sort": by === sort ? "descending" : null },
			by ? button(text + (by === sort ? " ↓" : ""), "", () => go({ sort: by }), { title: "Sort by this" }) : text)));
	}

	layout() {
		this.element.classList.toggle("cards", narrow() || (state().view === "traces" && state().trace !== ""));
	}

	follow(now, before) {
		this.layout();
		const changed = ["q", "since", "from", "to", "sort"].some((key) => now[key] !== before[key]);
		if (changed) {
			this.headings();
			this.load();
		}
		if (now.trace !== before.trace) this.select(now.trace, before.trace);
	}

	async load() {
		if (this.loading) this.loading.abort();
		const loading = new AbortController();
		this.loading = loading;
		this.setWaiting(0);
		const asked = state();
		this.asked = { q: asked.q, sort: asked.sort, limit: String(PAGE), ...range(asked) };
		this.element.setAttribute("aria-busy", "true");
		try {
			const answer = await get("traces", this.asked, loading.signal);
			this.on.fault(null);
			this.show(answer.rows);
			this.scroll.scrollTop = 0;
			this.after(answer, loading);
			say(answer.rows.length ? plural(answer.rows.length, "trace") + (answer.next ? " and more" : "") : "No traces", true);
		} catch (error) {
			if (error.name === "AbortError") return;
			if (error.status === 400) {
				this.on.fault(error);
				if (!this.rows.length) fill(this.place, div("empty", h("h1", { text: "The search cannot be read" })));
				this.grid.hidden = !this.rows.length;
				this.place.hidden = !this.grid.hidden;
			}
			else if (error.status !== 0) throw error;
			else if (!this.rows.length) this.showPlace(null);
		} finally {
			if (this.loading === loading) this.loading = null;
			this.element.removeAttribute("aria-busy");
		}
	}

	// A search that ran out of its time box goes on by itself until a screen is full.
	after(answer, loading) {
		this.cursor = answer.next || null;
		if (answer.partial && this.cursor && this.rows.length < 30) {
			this.note(true, answer.searched_to);
			this.loadMore(loading);
		} else this.note(false, answer.searched_to, answer.partial);
		if (!this.rows.length) this.showPlace(answer);
		else this.place.hidden = true;
	}

	async loadMore(going) {
		if (!this.cursor || (this.loading && this.loading !== going) || this.rows.length >= MOST) return;
		const loading = going || new AbortController();
		this.loading = loading;
		const next = this.cursor;
		try {
			const answer = await get("traces", { ...this.asked, cursor: next }, loading.signal);
			if (loading.signal.aborted) return;
			this.append(answer.rows.filter((row) => !this.nodes.has(row.trace)));
			if (this.loading === loading) this.loading = null;
			// An answer that leads nowhere further must not be asked for ever.
			if (answer.next === next) answer.next = null;
			this.after(answer, null);
		} catch (error) {
			if (this.loading === loading) this.loading = null;
			if (error.name !== "AbortError") this.note(false);
		}
	}

	note(searching, searchedTo, partial) {
		const back = Number.isFinite(searchedTo) && searchedTo > 0 ? "Searched back to " + moment(searchedTo, false) : "";
		this.more.hidden = !(searching || this.cursor);
		if (searching) fill(this.more, span("", back || "Searching…"), button("Stop", "button", () => this.stop()));
		else if (this.rows.length >= MOST) fill(this.more, "The first " + count(MOST) + " traces are listed: narrow the search to see others.");
		else fill(this.more, partial && back ? span("", back) : null, button("Show more", "button", () => this.loadMore()));
	}

	stop() {
		if (this.loading) this.loading.abort();
		this.loading = null;
		this.note(false);
	}

	scrolled() {
		const { scroll } = this;
		if (scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 600) this.loadMore();
	}

	show(rows) {
		this.rows = [];
		const held = this.body.contains(focused());
		this.nodes.clear();
		this.body.replaceChildren();
		this.append(rows);
		if (!this.nodes.has(this.active)) this.active = rows.length ? rows[0].trace : "";
		this.stops();
		if (held && this.nodes.has(this.active)) this.nodes.get(this.active).focus({ preventScroll: true });
	}

	append(rows) {
		this.rows.push(...rows);
		// One slow trace would make all other bars vanish: the slowest twentieth shares the full width.
		this.longest = this.rows.map((row) => row.dur).sort((a, b) => a - b)[Math.floor(this.rows.length * 0.95)] || 1;
		for (const row of rows) {
			const node = h("div", { class: "trace-row", role: "row", tabindex: "-1", "data-trace": row.trace });
			this.write(node, row);
			this.nodes.set(row.trace, node);
			this.body.append(node);
		}
		for (const row of this.rows) this.bar(row);
		if (!this.active && this.rows.length) this.active = this.rows[0].trace;
		this.stops();
		this.grid.hidden = !this.rows.length;
		this.select(state().trace, "");
	}

	write(node, row) {
		const { root } = row;
		const service = line(root.service, 60);
		const main = line(root.resource || root.name || "unnamed", 240);
		const name = line(root.name, 80);
		const errors = row.errors ? [icon("error"), plural(row.errors, "error")] : null;
		const when = (isToday(row.start) ? "" : day(row.start).slice(5) + " ") + clock(row.start);
		const matches = row.match && state().q && row.match.count ? row.match.count : 0;
		const others = row.services.filter((other) => other !== root.service);
		fill(node,
			h("div", { role: "gridcell", class: "when", title: day(row.start) + " " + clock(row.start), text: when }),
			h("div", { role: "gridcell", class: "svc" }, swatch(root.service), span("v", service, others.length ? "also " + line(others.join(", "), 300) : service)),
			h("div", { role: "gridcell", class: "what" },
				span("main v", main), main === name ? null : span("sub v", name),
				row.flags.includes("n+1") ? span("hit", "N+1", "One operation ran five times or more under one parent") : null,
				matches > 1 || (matches && row.spans > 1) ? span("hit", matches === 1 ? "1 span matches" : count(matches) + " spans match") : null),
			h("div", { role: "gridcell", class: "how" }, span("", duration(row.dur)), paint(h("span", { class: "line-bar" }, h("i")), root.service)),
			h("div", { role: "gridcell", class: "spans" }, count(row.spans)),
			h("div", { role: "gridcell", class: "errs" }, errors),
			h("div", { class: "meta", "aria-hidden": "true" }, swatch(root.service), span("v", service), span("", clock(row.start, false)), span("", plural(row.spans, "span"))));
		this.bar(row, node);
	}

	bar(row, node = this.nodes.get(row.trace)) {
		node.querySelector(".line-bar i").style.width = Math.min(100, (row.dur / this.longest) * 100) + "%";
	}

	/** Rows that changed are written in place; `rows` not known yet are counted, not shown. */
	news(rows) {
		let fresh = 0;
		for (const row of rows) {
			const node = this.nodes.get(row.trace);
			if (!node) {
				fresh += 1;
				continue;
			}
			const at = this.rows.findIndex((known) => known.trace === row.trace);
			const known = this.rows[at];
			if (known.spans === row.spans && known.dur === row.dur && known.errors === row.errors) continue;
			this.rows[at] = { ...known, ...row, match: row.match || known.match };
			this.write(node, this.rows[at]);
		}
		return fresh;
	}

	/** True while new rows may simply be shown: the list is short and nobody is in it. */
	idle() {
		const held = this.element.matches(":hover") || this.element.contains(focused());
		return !this.rows.length || (!held && !state().trace && this.scroll.scrollHeight <= this.scroll.clientHeight);
	}

	setWaiting(number, most = false) {
		if (number === this.waiting) return;
		this.waiting = number;
		if (!number) return fill(this.newsPlace);
		const text = (most ? "over " : "") + count(number) + " new";
		fill(this.newsPlace, button(text, "news", () => this.showNew(), { id: "news" }));
		this.newsPlace.firstChild.append(" ", h("kbd", { text: "." }));
		say(text + " traces", true);
	}

	showNew() {
		if (!this.waiting) return false;
		if (state().sort !== "newest") go({ sort: "newest" });
		else this.load();
		return true;
	}

	showPlace(answer) {
		this.grid.hidden = true;
		this.place.hidden = false;
		const asked = state();
		const filtered = asked.q || asked.since || asked.from || asked.to;
		if (answer && filtered) this.on.nothing(this.place, answer);
		else this.on.empty(this.place);
	}

	stops() {
		for (const [trace, node] of this.nodes) {
			const wanted = trace === this.active ? 0 : -1;
			if (node.tabIndex !== wanted) node.tabIndex = wanted;
		}
	}

	select(now, before) {
		if (this.nodes.has(before)) this.nodes.get(before).setAttribute("aria-selected", "false");
		const node = this.nodes.get(now);
		if (!node) return;
		node.setAttribute("aria-selected", "true");
		this.active = now;
		this.stops();
	}

	rowOf(trace) {
		return this.rows.find((row) => row.trace === trace);
	}

	spanOf(row) {
		return state().q && row && row.match && Number.isInteger(row.match.n) ? row.match.chunk + "." + row.match.n : "";
	}

	open(trace, alone) {
		const row = this.rowOf(trace);
		const view = alone || narrow() ? "trace" : "traces";
		go({ view, trace, span: this.spanOf(row) }, !state().trace || view === "trace");
	}

	click(event) {
		const node = event.target.closest(".trace-row");
		if (!node) return;
		if (String(getSelection()).length && event.detail === 1 && getSelection().containsNode(node, true)) return;
		this.active = node.dataset.trace;
		this.stops();
		node.focus({ preventScroll: true });
		this.open(this.active, event.detail === 2);
	}

	key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".trace-row")) return;
		const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -Infinity, End: Infinity };
		if (event.key in moves) this.move(moves[event.key]);
		else if (event.key === "Enter") this.open(this.active, true);
		else if (event.key === " ") this.open(this.active, false);
		else return;
		event.preventDefault();
		event.stopPropagation();
	}

	/** Moves the row keys act on; an open trace beside the list follows. */
	move(step) {
		if (!this.rows.length) return;
		const at = this.rows.findIndex((row) => row.trace === this.active);
		const started = this.body.contains(focused()) || state().trace;
		const wanted = started ? Math.max(0, Math.min(this.rows.length - 1, at + step)) : Math.max(0, at);
		this.active = this.rows[wanted].trace;
		this.stops();
		const node = this.nodes.get(this.active);
		node.focus({ preventScroll: true });
		node.scrollIntoView({ block: "nearest" });
		if (wanted === 0) this.scroll.scrollTop = 0;
		if (state().view === "traces" && state().trace) {
			clearTimeout(this.soon);
			const { active } = this;
			this.soon = setTimeout(() => go({ trace: active, span: this.spanOf(this.rowOf(active)) }), 120);
		}
	}

	focus() {
		const node = this.nodes.get(this.active);
		if (node) node.focus();
	}
}
