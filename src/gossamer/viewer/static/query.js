// Edits the text of a search the way a click on a value means it. The server parses; this only adds and removes terms.

/** The top-level terms of a search, as written, with their place. */
export function terms(query) {
	const found = [];
	let at = 0;
	while (at < query.length) {
		if (/\s/.test(query[at])) {
			at += 1;
			continue;
		}
		const from = at;
		let depth = 0;
		let quoted = false;
		while (at < query.length && (quoted || depth > 0 || !/\s/.test(query[at]))) {
			const char = query[at];
			if (quoted && char === "\\") at += 1;
			else if (char === '"') quoted = !quoted;
			else if (!quoted && char === "(") depth += 1;
			else if (!quoted && char === ")") depth -= 1;
			at += 1;
		}
		found.push({ text: query.slice(from, at), at: from });
	}
	return found;
}

/** A value as it must be written behind "field:". */
export function quote(value) {
	const text = String(value);
	if (/^[\p{L}\p{N}_./@%+=#~$&{}[\]-]+$/u.test(text) && !text.startsWith("-") && !text.includes("..") && text !== "OR") return text;
	return '"' + text.replace(/[\\"]/g, "\\$&") + '"';
}

export const term = (field, value) => field + ":" + quote(value);

export const has = (query, text) => terms(query).some((part) => part.text === text);

/** Adds a term; its opposite goes. */
export function plus(query, text) {
	const opposite = text.startsWith("-") ? text.slice(1) : "-" + text;
	const kept = terms(query).map((part) => part.text).filter((part) => part !== opposite);
	if (!kept.includes(text)) {
		// A bare OR would swallow the new condition: the whole is put in parentheses first.
		if (kept.includes("OR")) return "(" + kept.join(" ") + ") " + text;
		kept.push(text);
	}
	return kept.join(" ");
}

export function minus(query, text) {
	return terms(query).map((part) => part.text).filter((part) => part !== text).join(" ");
}

export const toggle = (query, text) => (has(query, text) ? minus(query, text) : plus(query, text));
