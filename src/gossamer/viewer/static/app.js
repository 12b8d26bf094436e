// Puts the page together: who listens to whom, the stream of news, the status line and the theme.

import { byId, fill, h, icon, span } from "./dom.js";
import { bytes, clock, count, moment, plural } from "./format.js";
import { get, live, onReachable } from "./api.js";
import { go, onState, preference, range, state } from "./state.js";
import { plus } from "./query.js";
import { drawEmpty, drawNothing, refusals } from "./empty.js";
import { Facets } from "./facets.js";
import { installKeys } from "./keys.js";
import { List } from "./list.js";
import { openHelp } from "./help.js";
import { Search } from "./search.js";
import { split } from "./splits.js";
import { TraceView } from "./trace.js";

const CALM = 1000;
const RANGES = [["", "All times"], ["5m", "Last 5 minutes"], ["15m", "Last 15 minutes"], ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"]];

let status = null;
let paused = false;
let reachable = true;

const facets = new Facets(byId("facets"), byId("facet-toggle"), ({ timeline }) => list.strip.show(timeline));
const search = new Search(byId("search"), (field) => facets.values(field), () => facets.values("keys"));
const list = new List(byId("list"), { fault: (error) => search.showFault(error), empty: (place) => drawEmpty(place, status), nothing: drawNothing });
const trace = new TraceView(byId("trace"), (term) => go({ view: "traces", trace: "", q: plus(state().q, term) }, true));

function view(now) {
	const split = now.view !== "trace" && now.trace;
	document.body.className = now.view === "trace" ? "in-trace" : split ? "in-split" : "in-list";
	byId("split-list").hidden = !split;
	if (!now.trace) document.title = now.q ? now.q + " · Gossamer" : "Gossamer";
	drawRange(now);
}

onState((now, before) => {
	view(now);
	search.set(now.q);
	trace.update(now, before);
});

async function readStatus() {
	try {
		status = await get("status");
	} catch {
		return;
	}
	drawStatus();
	if (!list.place.hidden && !list.rows.length && !state().q) redrawEmpty();
}

// Only the list of contacts changes; the tabs keep their state and focus.
function redrawEmpty() {
	const old = list.place.querySelector(".contacts");
	if (!old) return drawEmpty(list.place, status);
	const made = document.createElement("div");
	drawEmpty(made, status);
	old.replaceWith(made.querySelector(".contacts"));
}

function drawStatus() {
	const { spans, limits, traces, oldest, rate, version } = status;
	const refused = refusals(status);
	fill(byId("status"),
		span("", count(spans) + " of " + count(limits.spans) + " spans"),
		span("", plural(traces, "trace")),
		oldest ? span("", "oldest " + moment(oldest, false)) : null,
		span("", count(Math.round(rate.spans)) + " spans/s"),
		span("", bytes(status.bytes)),
		refused.length ? span("alarm", count(refused.reduce((sum, row) => sum + row.hits, 0)) + " refused", refused.map((row) => row.reason + " ×" + row.hits).join("\n")) : null,
		span("end", "gossamer " + version));
}

let due = 0;
let timer = null;

function news(name, event) {
	if (status && event.spans !== undefined) drawStatus(Object.assign(status, event));
	if (name === "cleared") return void list.load();
	if (name !== "traces") return soon();
	trace.news(event.rows);
	const dot = byId("live");
	dot.classList.remove("beat");
	void dot.offsetWidth;
	if (!paused) dot.classList.add("beat");
	soon();
}

// The stream says that something came; what the list shows of it is asked for, at most once a second.
function soon() {
	if (timer) return;
	timer = setTimeout(refresh, Math.max(30, due - Date.now()));
}

async function refresh() {
	timer = null;
	due = Date.now() + CALM;
	readStatus();
	if (paused || list.loading) return;
	const now = state();
	try {
		const { rows } = await get("traces", { q: now.q, sort: "newest", limit: "50", ...range(now) });
		if (state() !== now && state().q !== now.q) return;
		const newest = list.rows.reduce((most, row) => Math.max(most, row.start), 0);
		const fresh = list.news(now.sort === "newest" ? rows : rows.filter((row) => row.start > newest || list.nodes.has(row.trace)));
		trace.news(rows);
		if (fresh && (!list.rows.length || (list.idle() && now.sort === "newest"))) return void list.load().then(() => facets.load());
		if (fresh) list.setWaiting(fresh, fresh >= 50);
		if (Date.now() - facetsAt > 5000) {
			facetsAt = Date.now();
			facets.load();
		}
	} catch {
		// The next news try again.
	}
}

let facetsAt = 0;

function pause(yes) {
	paused = yes;
	byId("live").setAttribute("aria-pressed", String(!yes));
	byId("live-word").textContent = yes ? "Paused" : "Live";
	byId("live").title = yes ? "Paused: traces are still received, the list stays as it is" : "Live: new traces are announced as they arrive";
	banner();
	if (!yes) soon();
}

function banner() {
	const place = byId("banner");
	place.hidden = reachable && !paused;
	if (!reachable) fill(place, icon("error"), "The viewer has stopped. What this page holds stays; it reconnects by itself.");
	else if (paused) fill(place, "Paused. Traces are still received and kept; the list stays as it is.", h("button", { type: "button", class: "plain", on: { click: () => pause(false) } }, "Go on"));
}

function showNew() {
	const grown = state().trace ? trace.refresh() : false;
	return list.showNew() || grown;
}

// Theme: what the system says until somebody chooses

const THEMES = [["auto", "Theme: as the system"], ["light", "Theme: light"], ["dark", "Theme: dark"]];

function theme(name) {
	if (name === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = name;
	const place = byId("theme");
	const label = THEMES.find(([each]) => each === name)[1];
	fill(place, icon({ auto: "auto", light: "sun", dark: "moon" }[name]));
	place.setAttribute("aria-label", label);
	place.title = label;
	list.strip.draw();
	trace.minimap.draw();
}

function nextTheme() {
	const now = document.documentElement.dataset.theme || "auto";
	const name = THEMES[(THEMES.findIndex(([each]) => each === now) + 1) % THEMES.length][0];
	preference("theme", name);
	theme(name);
}

function drawRange(now) {
	const select = byId("range");
	const own = now.from || now.to;
	const options = RANGES.map(([value, text]) => h("option", { value, text }));
	if (own) options.push(h("option", { value: "own", text: (now.from ? clock(Number(now.from), false) : "…") + " – " + (now.to ? clock(Number(now.to), false) : "now") }));
	fill(select, options);
	select.value = own ? "own" : now.since;
}

byId("range").addEventListener("change", (event) => {
	if (event.target.value !== "own") go({ since: event.target.value, from: "", to: "" }, true);
});
byId("live").addEventListener("click", () => pause(!paused));
byId("theme").addEventListener("click", nextTheme);
byId("help-button").addEventListener("click", openHelp);
byId("skip").addEventListener("click", (event) => {
	event.preventDefault();
	if (list.rows.length) list.focus();
	else byId("main").focus();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(document.documentElement.dataset.theme || "auto"));

onReachable((now) => {
	reachable = now;
	byId("live").classList.toggle("gone", !now);
	banner();
	if (now) soon();
});

split(byId("split-list"), document.body, { name: "list", property: "--list-width", least: 220, most: 620, first: 330 });
theme(THEMES.some(([name]) => name === preference("theme")) ? preference("theme") : "auto");
installKeys({ list, trace, search, facets, showNew });
pause(false);
view(state());
search.set(state().q);
if (state().trace) trace.update(state(), {});
Promise.allSettled([readStatus()]).then(() => list.load());
facets.load();
setInterval(() => document.visibilityState === "visible" && reachable && readStatus(), 5000);
live(news);
