// The keys of the whole page. Lists and the waterfall handle arrows themselves while they hold the focus.

import { byId, copy, focused } from "./dom.js";
import { go, state } from "./state.js";
import { lettersOn, openHelp } from "./help.js";

/** `parts`: the list, the trace, the search and the facets; `showNew()` acts on what is new. */
export function installKeys(parts) {
	let leader = 0;
	addEventListener("keydown", (event) => {
		if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
		if (event.key === "Escape") return void (escape(parts) && event.preventDefault());
		const typing = event.target.closest("input, select, textarea");
		if (typing) return;
		if (!lettersOn() && event.key.length === 1) return;
		const went = Date.now() - leader < 1200;
		leader = 0;
		if (event.key === "g") leader = Date.now();
		else if (went && event.key === "t") go({ view: "traces", trace: "" }, true);
		else if (!common(event.key, parts) && !inTrace(event.key, parts) && !inList(event.key, parts)) return;
		event.preventDefault();
	});
}

function common(key, { search, showNew }) {
	switch (key) {
		case "/": search.focus(); return true;
		case "?": openHelp(); return true;
		case ".": return showNew();
		case "y": copy(location.href); return true;
		default: return false;
	}
}

// Where both stand side by side, the one that holds the focus decides.
function traceActs({ trace }) {
	return state().trace && trace.tree && (state().view === "trace" || trace.element.contains(focused()));
}

function inTrace(key, parts) {
	const { trace } = parts;
	if (!state().trace || !trace.tree) return false;
	const { waterfall } = trace;
	const own = traceActs(parts);
	switch (key) {
		case "f": trace.findBox.focus(); trace.findBox.select(); return true;
		case "n": trace.findNext(1); return true;
		case "N": trace.findNext(-1); return true;
		case "e": trace.nextError(1); return true;
		case "E": trace.nextError(-1); return true;
		case "[": waterfall.levelBy(-1); return true;
		case "]": waterfall.levelBy(1); return true;
		case "+": case "=": trace.zoomStep(1 / 1.6); return true;
		case "-": trace.zoomStep(1.6); return true;
		case "0": waterfall.setZoom(0, 1); return true;
		case "a": waterfall.panBy(-0.25); return true;
		case "d": waterfall.panBy(0.25); return true;
		case "j": case "ArrowDown": return own && step(waterfall, 1);
		case "k": case "ArrowUp": return own && step(waterfall, -1);
		case "ArrowLeft": case "ArrowRight": case "Home": case "End":
			if (!own || focused().closest('[role="tablist"], [role="separator"]')) return false;
			waterfall.focus();
			return false;
		default: return false;
	}
}

function step(waterfall, by) {
	if (focused().closest(".tab-body") && focused().closest(".tab-body").scrollHeight > focused().clientHeight) return false;
	waterfall.focus();
	waterfall.move(by);
	return true;
}

function inList(key, { list }) {
	if (state().view === "trace") return false;
	if (key === "j" || key === "ArrowDown") return list.move(1), true;
	if (key === "k" || key === "ArrowUp") return list.move(-1), true;
	if (key === "Enter" && state().trace && focused() === document.body) return go({ view: "trace" }, true), true;
	return false;
}

// One step back at a time: the sheet, the panel, the search within the trace, the trace, the search.
function escape({ list, trace, facets }) {
	const now = state();
	if (facets.element.classList.contains("open")) {
		facets.sheet(false);
		facets.toggleButton.focus();
	} else if (now.trace && !trace.panel.element.hidden) trace.closePanel();
	else if (now.trace && now.find) go({ find: "" });
	else if (now.trace) {
		trace.back();
		list.focus();
	} else if (focused() && focused().matches("input")) focused().blur();
	else if (now.q) go({ q: "" }, true);
	else return false;
	return true;
}
