// A trace as typed arrays: parents, children, depth and the order of visible rows.
// Nothing here recurses, and no input (cycles, missing parents, spans that are their own parent) loops for ever.

const NONE = -1;

export class Tree {
	/** `skeleton` holds columns as the API sends them; `start` and `dur` are microseconds. */
	constructor(skeleton) {
		const size = skeleton.op.length;
		this.size = size;
		this.ops = skeleton.ops.map(([service, name, resource, type, kind]) => ({
			service, name, resource: resource || name, type, kind,
		}));
		this.op = Int32Array.from(skeleton.op);
		this.start = Float64Array.from(skeleton.start);
		this.dur = Float64Array.from(skeleton.dur);
		this.chunk = skeleton.chunk;
		this.n = skeleton.n;
		this.error = new Uint8Array(size);
		for (const row of skeleton.err) if (row < size) this.error[row] = 1;
		this.orphan = new Uint8Array(size);
		for (const row of skeleton.orphans) if (row < size) this.orphan[row] = 1;
		this.twice = new Set(skeleton.duplicates);
		this.link(skeleton.parent);
		this.walk();
		this.measure();
		this.folded = new Uint8Array(size);
		this.unfold();
	}

	// Children of each row, by start. Later rows are put in front, so the rows are taken last first.
	link(parents) {
		const { size, start } = this;
		this.parent = new Int32Array(size).fill(NONE);
		this.firstChild = new Int32Array(size).fill(NONE);
		this.nextSibling = new Int32Array(size).fill(NONE);
		this.children = new Int32Array(size);
		this.firstRoot = NONE;
		const byStart = new Int32Array(size);
		let sorted = true;
		for (let row = 0; row < size; row += 1) {
			byStart[row] = row;
			if (row && start[row] < start[row - 1]) sorted = false;
		}
		if (!sorted) byStart.sort((a, b) => start[a] - start[b] || a - b);
		this.byStart = byStart;
		for (let at = size - 1; at >= 0; at -= 1) {
			const row = byStart[at];
			const parent = parents[row];
			if (Number.isInteger(parent) && parent >= 0 && parent < size && parent !== row) {
				this.parent[row] = parent;
				this.nextSibling[row] = this.firstChild[parent];
				this.firstChild[parent] = row;
				this.children[parent] += 1;
			} else this.addRoot(row);
		}
	}

	addRoot(row) {
		this.parent[row] = NONE;
		this.nextSibling[row] = this.firstRoot;
		this.firstRoot = row;
	}

	// Depth first from the roots; what is never reached hangs in a cycle, which is cut at its earliest row.
	walk() {
		const { size } = this;
		this.order = new Int32Array(size);
		this.position = new Int32Array(size).fill(NONE);
		this.depth = new Int32Array(size);
		this.last = new Int32Array(size);
		let at = this.descend(this.firstRoot, 0);
		for (let next = 0; at < size && next < size; next += 1) {
			const row = this.byStart[next];
			if (this.position[row] !== NONE) continue;
			this.cut(row);
			this.orphan[row] = 1;
			at = this.descend(row, at, true);
		}
		this.roots = [];
		for (let where = 0; where < size; where = this.last[where] + 1) this.roots.push(this.order[where]);
	}

	descend(first, at, alone = false) {
		const { firstChild, nextSibling, parent, order, position, depth, last } = this;
		let row = first;
		while (row !== NONE) {
			order[at] = row;
			position[row] = at;
			depth[row] = parent[row] === NONE ? 0 : depth[parent[row]] + 1;
			at += 1;
			if (firstChild[row] !== NONE) {
				row = firstChild[row];
				continue;
			}
			for (;;) {
				last[position[row]] = at - 1;
				if (alone && row === first) return at;
				if (nextSibling[row] !== NONE) {
					row = nextSibling[row];
					break;
				}
				row = parent[row];
				if (row === NONE) return at;
			}
		}
		return at;
	}

	cut(row) {
		const parent = this.parent[row];
		if (this.firstChild[parent] === row) this.firstChild[parent] = this.nextSibling[row];
		else {
			let child = this.firstChild[parent];
			while (child !== NONE && this.nextSibling[child] !== row) child = this.nextSibling[child];
			if (child !== NONE) this.nextSibling[child] = this.nextSibling[row];
		}
		this.children[parent] -= 1;
		this.parent[row] = NONE;
		this.nextSibling[row] = NONE;
	}

	measure() {
		let from = Infinity;
		let to = -Infinity;
		let errors = 0;
		const services = new Map();
		for (let row = 0; row < this.size; row += 1) {
			const start = this.start[row];
			if (start < from) from = start;
			if (start + this.dur[row] > to) to = start + this.dur[row];
			errors += this.error[row];
			const { service } = this.ops[this.op[row]];
			services.set(service, (services.get(service) || 0) + 1);
		}
		this.from = this.size ? from : 0;
		this.to = this.size ? Math.max(to, from + 1) : 1;
		this.errors = errors;
		this.services = [...services].sort((a, b) => b[1] - a[1]);
	}

	about(row) {
		return this.ops[this.op[row]];
	}

	unfold() {
		const { size, order, last, folded } = this;
		const visible = new Int32Array(size);
		const shownAt = new Int32Array(size).fill(NONE);
		let shown = 0;
		for (let at = 0; at < size; at += 1) {
			const row = order[at];
			visible[shown] = row;
			shownAt[row] = shown;
			shown += 1;
			if (folded[row]) at = last[at];
		}
		this.visible = visible.subarray(0, shown);
		this.shownAt = shownAt;
	}

	fold(row, yes) {
		if (!this.children[row] || this.folded[row] === Number(yes)) return false;
		this.folded[row] = yes ? 1 : 0;
		this.unfold();
		return true;
	}

	reveal(row) {
		let changed = false;
		for (let at = this.parent[row]; at !== NONE; at = this.parent[at]) {
			if (this.folded[at]) changed = true;
			this.folded[at] = 0;
		}
		if (changed) this.unfold();
		return changed;
	}

	/** Folds everything from a depth on, so that `depth` levels stay open. */
	foldFrom(depth) {
		for (let row = 0; row < this.size; row += 1) this.folded[row] = this.children[row] && this.depth[row] >= depth ? 1 : 0;
		this.unfold();
	}

	/** How many levels are open now: the least depth of a folded row, or the deepest of all. */
	openLevels() {
		let least = Infinity;
		let deepest = 0;
		for (let row = 0; row < this.size; row += 1) {
			if (this.depth[row] > deepest) deepest = this.depth[row];
			if (this.folded[row] && this.depth[row] < least) least = this.depth[row];
		}
		return { levels: Math.min(least, deepest), deepest };
	}

	/** The row of a span named "chunk.n". */
	rowOf(name) {
		const [chunk, n] = String(name).split(".").map(Number);
		for (let row = 0; row < this.size; row += 1) if (this.n[row] === n && this.chunk[row] === chunk) return row;
		return NONE;
	}

	nameOf(row) {
		return this.chunk[row] + "." + this.n[row];
	}

	/** Time of a span that none of its children covers. */
	ownTime(row) {
		const from = this.start[row];
		const to = from + this.dur[row];
		let covered = 0;
		let reached = from;
		// Children stand in order of their start, so one pass unites them.
		for (let child = this.firstChild[row]; child !== NONE; child = this.nextSibling[child]) {
			const begin = Math.max(this.start[child], reached);
			const end = Math.min(this.start[child] + this.dur[child], to);
			if (end > begin) {
				covered += end - begin;
				reached = end;
			}
		}
		return Math.max(0, this.dur[row] - covered);
	}

	find(text) {
		const wanted = text.toLowerCase();
		const hits = this.ops.map((op) => [op.resource, op.name, op.service, op.type].some((word) => word.toLowerCase().includes(wanted)));
		return this.order.filter((row) => hits[this.op[row]]);
	}

	/** The next row in order after `row` for which `test` holds, going round; -1 if none. */
	next(row, step, test) {
		const from = row === NONE ? (step > 0 ? -1 : 0) : this.position[row];
		for (let count = 1; count <= this.size; count += 1) {
			const at = (((from + step * count) % this.size) + this.size) % this.size;
			if (test(this.order[at])) return this.order[at];
		}
		return NONE;
	}
}
