import { splitLevels } from './filter.js';

/** One level of the patterns in a tree. `end`: a pattern ends here. `hash`: one ends here in `#`. */
export interface LevelNode<Value> {
  readonly literals: Map<string, LevelNode<Value>>;
  plus: LevelNode<Value> | undefined;
  end: Value | undefined;
  hash: Value | undefined;
}

export type Merge<Value> = (a: Value | undefined, b: Value) => Value;

/**
 * Patterns (topic filters) by level, with a value each. A look-up visits only nodes whose levels match, so its cost does not
 * grow with patterns that cannot match. Values that meet, at one pattern or at one topic, are merged.
 */
export class LevelTree<Value> {
  readonly root: LevelNode<Value> = newNode();
  readonly #merge: Merge<Value>;
  size = 0;

  constructor(merge: Merge<Value>) {
    this.#merge = merge;
  }

  add(pattern: string, value: Value): void {
    let node = this.root;
    this.size += 1;
    for (const level of splitLevels(pattern)) {
      if (level === '#') {
        node.hash = this.#merge(node.hash, value);
        return;
      }
      node = level === '+' ? (node.plus ??= newNode()) : literalChild(node, level);
    }
    node.end = this.#merge(node.end, value);
  }

  /** The merged value of all patterns that match the topic; for a filter, of all that each cover the whole of it. */
  match(topic: string, base?: Value): Value | undefined {
    if (this.size === 0) return base;
    const levels = splitLevels(topic);
    if (!topic.startsWith('$')) return this.#visit(this.root, levels, 0, base);
    // A leading wildcard does not match the server's own topics (MQTT-4.7.2-1).
    const child = this.root.literals.get(levels[0] ?? '');
    return child === undefined ? base : this.#visit(child, levels, 1, base);
  }

  /** Recursion ends with the tree, however many levels the topic has. */
  #visit(
    node: LevelNode<Value>,
    levels: readonly string[],
    depth: number,
    found: Value | undefined,
  ): Value | undefined {
    let merged = found;
    // `a/#` matches `a` too (MQTT 5.0, 4.7.1.2).
    if (node.hash !== undefined) merged = this.#merge(merged, node.hash);
    const level = levels[depth];
    if (level === '#') return merged; // only another # covers it
    if (level === undefined) return node.end === undefined ? merged : this.#merge(merged, node.end);
    const child = node.literals.get(level);
    if (child !== undefined) merged = this.#visit(child, levels, depth + 1, merged);
    if (node.plus !== undefined) merged = this.#visit(node.plus, levels, depth + 1, merged);
    return merged;
  }
}

function newNode<Value>(): LevelNode<Value> {
  return { literals: new Map(), plus: undefined, end: undefined, hash: undefined };
}

function literalChild<Value>(node: LevelNode<Value>, level: string): LevelNode<Value> {
  let child = node.literals.get(level);
  if (child === undefined) node.literals.set(level, (child = newNode()));
  return child;
}
