// The help dialog: what this is, every key, and how to search.

import { byId, div, fill, h, iconButton } from "./dom.js";
import { preference } from "./state.js";

const KEYS = [
	["Everywhere", [["/", "search"], ["?", "this help"], ["g t", "list of traces"], [".", "show what is new"], ["Esc", "close, back"], ["y", "copy a link to this view"]]],
	["List", [["j k ↓ ↑", "next, previous trace"], ["Space", "open beside the list"], ["Enter", "open on its own"]]],
	["Trace", [["j k ↓ ↑", "next, previous span"], ["← →", "fold, unfold; parent, child"], ["[ ]", "one level less, more"], ["Enter", "span details"], ["f", "find in trace"], ["n N", "next, previous match"], ["e E", "next, previous error"], ["+ − 0", "zoom in, out, all"], ["a d", "pan left, right"]]],
];

const QUERIES = [
	["service:shop status:error", "spans of shop that failed"], ["duration:>100ms", "slow spans; also duration:1s..5s"], ["@http.status_code:500", "an attribute"],
	["-resource:*health*", "leave out; * stands for anything"], ['"connection refused"', "words of an error or a URL"], ["a OR b", "either; group with ( )"], ["root:resource:*cart*", "only the root span"],
];

/** Single letters as keys can be turned off (they disturb speech input). */
export const lettersOn = () => preference("letters") !== "off";

export function openHelp() {
	const dialog = byId("help");
	if (dialog.open) return dialog.close();
	const letters = h("input", { type: "checkbox", id: "letters", on: { change: () => preference("letters", letters.checked ? "on" : "off") } });
	letters.checked = lettersOn();
	const keys = (list) => h("dl", { class: "keys" }, list.map(([names, what]) => [h("dt", {}, names.split(" ").map((name, at) => [at ? " " : null, h("kbd", { text: name })])), h("dd", { text: what })]));
	fill(dialog,
		div("help-head", h("h2", { text: "Help" }), iconButton("close", "Close the help", () => dialog.close())),
		div("help-body",
			h("p", { class: "wide", text: "Every line of the list is a trace: a request your program served or made. Open one to see its spans, the steps it took, with their times, attributes and errors." }),
			KEYS.map(([title, list]) => h("section", {}, h("h3", { text: title }), keys(list))),
			h("section", {}, h("h3", { text: "Search" }), h("dl", { class: "keys" }, QUERIES.map(([query, what]) => [h("dt", {}, h("code", { text: query })), h("dd", { text: what })]))),
			h("label", { class: "choice wide" }, letters, "Single letters act as keys")));
	dialog.showModal();
}
