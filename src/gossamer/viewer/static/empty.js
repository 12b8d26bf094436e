// What stands where traces will be: how to send some, who tried, and why a search found none.

import { button, copy, div, fill, h, icon, iconButton, line, span } from "./dom.js";
import { ago, count, moment, plural } from "./format.js";
import { change, get } from "./api.js";
import { go, range, state } from "./state.js";
import { terms } from "./query.js";
import { tabs } from "./values.js";

function commands(base, port) {
	return [
		{ id: "gossamer", text: "Gossamer", lines: "gossamer run python app.py", note: "Traces the libraries your program uses; no change to its code. The viewer at port 8126 is where it looks first.",
			other: port === "8126" ? null : "DD_TRACE_AGENT_URL=" + base + " gossamer run python app.py" },
		{ id: "ddtrace", text: "ddtrace", lines: "DD_TRACE_AGENT_URL=" + base + " ddtrace-run python app.py", note: "Any Datadog tracer, of any language: the viewer speaks the Agent's protocol." },
		{ id: "otel", text: "OpenTelemetry", lines: "OTEL_EXPORTER_OTLP_ENDPOINT=" + base + " \\\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf \\\nopentelemetry-instrument python app.py", note: "Any OpenTelemetry SDK, over OTLP/HTTP. gRPC is not received." },
		{ id: "docker", text: "Docker", lines: "docker run --add-host=host.docker.internal:host-gateway \\\n  -e DD_TRACE_AGENT_URL=" + base.replace(/\/\/[^:/]+/, "//host.docker.internal") + " IMAGE", note: "The viewer must listen beyond loopback to be reached from a container: see gossamer viewer --help." },
	];
}

export function drawEmpty(place, status) {
	const base = location.origin.replace("127.0.0.1", "localhost");
	const items = commands(base, location.port).map((item) => ({ ...item, make: () => {
		const text = item.other || item.lines;
		return [div("command", h("pre", { text }), iconButton("copy", "Copy the command", (event) => copy(text.replace(/ \\\n */g, " "), event.currentTarget))), h("p", { class: "note", text: item.note })];
	} }));
	const problem = h("p", { class: "fault-line", role: "alert" });
	fill(place, div("empty",
		h("h1", { text: "Waiting for the first trace" }),
		h("p", {}, "Listening on ", h("b", { class: "mono", text: base }), ". Start a program with one of these, and its requests appear here."),
		tabs(items, "gossamer", "Ways to send traces", () => {}),
		div("acts", button("Show a sample trace", "button primary", (event) => sample(event.currentTarget, problem), { id: "sample" })),
		problem, contacts(status)));
}

async function sample(pressed, problem) {
	pressed.disabled = true;
	problem.textContent = "";
	try {
		const answer = await change("POST", "sample");
		go({ view: "traces", trace: answer.trace }, true);
	} catch (error) {
		problem.textContent = "The sample could not be added: " + error.message;
	}
	pressed.disabled = false;
}

function contacts(status) {
	if (!status) return null;
	const items = [];
	const item = (kind, name, text, at) => items.push(h("li", { class: kind }, icon(name), span("v", line(text, 500)), span("at", at ? ago(at) : "")));
	for (const { language, version, agent, spans, seen } of status.clients) {
		item("", "check", ([language, version].filter(Boolean).join(" ") || agent || "a client") + ", " + plural(spans, "span"), seen);
	}
	for (const { protocol, reason, hits } of refusals(status)) item("bad", "error", "refused" + (hits > 1 ? " " + count(hits) + " times" : "") + ": " + protocol + ", " + reason);
	for (const { text, seen } of status.notes) item("note-line", "error", text, seen);
	return h("section", { class: "contacts", "aria-label": "Last contacts" }, h("h2", { text: "Last contacts" }),
		items.length ? h("ul", {}, items) : h("p", { class: "muted", text: "Nobody has called yet." }));
}

/** Refusals as rows, from protocol → reason → count. */
export function refusals(status) {
	const rows = [];
	for (const [protocol, reasons] of Object.entries(status.refused)) {
		for (const [reason, hits] of Object.entries(reasons)) rows.push({ protocol, reason, hits });
	}
	return rows;
}

/** A search or a time range without a result: says which of its terms is in the way. */
export function drawNothing(place, answer) {
	const asked = state();
	const parts = terms(asked.q).filter((part) => part.text !== "OR");
	const without = div("without");
	const timed = asked.since || asked.from || asked.to;
	fill(place, div("empty",
		h("h1", { text: "No trace matches" }),
		h("p", {}, answer.partial && answer.searched_to ? "Searched back to " + moment(answer.searched_to, false) + ", then stopped." : timed ? "Nothing in this time range fits the search." : "Nothing that is kept fits the search."),
		without,
		div("acts",
			asked.q ? button("Clear the search", "button", () => go({ q: "" }, true)) : null,
			timed ? button("All times", "button", () => go({ since: "", from: "", to: "" }, true)) : null)));
	if (asked.q && parts.length && parts.length <= 6 && !/\bOR\b/.test(asked.q)) explain(without, asked, parts);
}

async function explain(place, asked, parts) {
	const tries = parts.map(async (part, at) => {
		const rest = parts.filter((_, other) => other !== at).map((other) => other.text).join(" ");
		try {
			const { rows, next } = await get("traces", { q: rest, limit: "50", ...range(asked) });
			return { part, rest, found: rows.length, more: Boolean(next) };
		} catch {
			return null;
		}
	});
	const results = (await Promise.all(tries)).filter((result) => result && result.found);
	if (!place.isConnected || state().q !== asked.q) return;
	fill(place, results.map(({ part, rest, found, more }) => h("span", {}, "Without ", h("code", { class: "v", text: line(part.text, 120) }), " there ",
		button((more ? "are over " : found === 1 ? "is " : "are ") + plural(found, "trace"), "plain", () => go({ q: rest }, true)))));
}
