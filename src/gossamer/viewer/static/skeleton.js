// Fetches a trace's columns; large ones come in pieces, the first of which is shown at once.

import { get } from "./api.js";

/** Calls `part(skeleton, complete)` with all rows so far after each piece. */
export async function fetchTrace(trace, signal, part) {
	const whole = { ops: [], parent: [], op: [], start: [], dur: [], chunk: [], n: [], err: [], orphans: [], duplicates: [], total: 0 };
	let after;
	do {
		const piece = await get("traces/" + trace, { after }, signal);
		append(whole, piece);
		after = piece.next;
		part(whole, !after);
	} while (after);
}

// Operations are numbered within a piece, rows within the trace; times count from the trace's beginning.
function append(whole, piece) {
	const known = whole.ops.length;
	const { base } = piece;
	const join = (name, values) => {
		whole[name] = whole[name].concat(values);
	};
	for (const name of ["ops", "parent", "dur", "chunk", "n", "err", "orphans", "duplicates"]) join(name, piece[name]);
	join("op", known ? piece.op.map((op) => op + known) : piece.op);
	join("start", piece.start.map((start) => base + start));
	// Rows that came in an earlier piece than their parent.
	for (const [row, parent] of piece.adopted) whole.parent[row] = parent;
	whole.orphans = whole.orphans.filter((row) => whole.parent[row] < 0);
	whole.total = piece.total;
}
