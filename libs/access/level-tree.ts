import { levelAt, splitLevels } from './filter.js';
import { levelTemplate, type LevelTemplate, type Variables, wordOf } from './variables.js';

/** One level of the patterns in a tree. `end`: a pattern ends here. `hash`: one ends here in `#`. */
export interface LevelNode<Value> {
  readonly literals: Map<string, LevelNode<Value>>;
  /** Levels that hold variables: which word they stand for depends on who asks. */
  readonly slots: Slot<Value>[];
  plus: LevelNode<Value> | undefined;
  end: Value | undefined;
  hash: Value | undefined;
}

export interface Slot<Value> {
  readonly template: LevelTemplate;
  /** Where the variables have no value: true, it stands for every word, as `+` does; false, for none. */
  readonly widens: boolean;
  readonly node: LevelNode<Value>;
}

export type Merge<Value> = (a: Value | undefined, b: Value) => Value;

/**
 * Patterns (topic filters that may hold variables) by level, with a value each. A look-up visits only nodes whose levels
 * match, so its cost does not grow with patterns that cannot match. Values that meet, at one pattern or at one topic, are
 * merged.
 *
 * One tree serves everybody whom the same rules bind. Built anew for each principal, with the variables' values in place, it
 * took a seventh of a sign-in; so a level that holds variables is a slot, and whoever asks brings the values.
 */
export class LevelTree<Value> {
  readonly root: LevelNode<Value> = newNode();
  readonly #merge: Merge<Value>;
  size = 0;

  constructor(merge: Merge<Value>) {
    this.#merge = merge;
  }

  /** `widens`: see Slot. */
  add(pattern: string, widens: boolean, value: Value): void {
    let node = this.root;
    this.size += 1;
    for (const [index, level] of splitLevels(pattern).entries()) {
      if (level === '#') {
        node.hash = this.#merge(node.hash, value);
        return;
      }
      node = level === '+' ? (node.plus ??= newNode()) : wordChild(node, level, index === 0, widens);
    }
    node.end = this.#merge(node.end, value);
  }

  /** The merged value of all patterns that match the topic; for a filter, of all that each cover the whole of it. */
  match(topic: string, variables: Variables, base?: Value): Value | undefined {
    if (this.size === 0) return base;
    return this.#visit(this.root, topic, variables, 0, base);
  }

  /** `start`: of the level. Recursion, and what is read of the topic, end with the tree, however many levels the topic has. */
  #visit(
    node: LevelNode<Value>,
    topic: string,
    variables: Variables,
    start: number,
    found: Value | undefined,
  ): Value | undefined {
    let merged = found;
    const level = levelAt(topic, start);
    // A leading wildcard does not match the server's own topics (MQTT-4.7.2-1).
    const isOwn = start === 0 && level !== undefined && level.startsWith('$');
    // `a/#` matches `a` too (MQTT 5.0, 4.7.1.2).
    if (node.hash !== undefined && !isOwn) merged = this.#merge(merged, node.hash);
    if (level === '#') return merged; // only another # covers it
    if (level === undefined) return node.end === undefined ? merged : this.#merge(merged, node.end);
    const next = start + level.length + 1;
    const child = node.literals.get(level);
    if (child !== undefined) merged = this.#visit(child, topic, variables, next, merged);
    for (const slot of node.slots) {
      const word = wordOf(slot.template, variables);
      if (word === level || (word === undefined && slot.widens && !isOwn)) {
        merged = this.#visit(slot.node, topic, variables, next, merged);
      }
    }
    if (node.plus !== undefined && !isOwn) {
      merged = this.#visit(node.plus, topic, variables, next, merged);
    }
    return merged;
  }
}

function newNode<Value>(): LevelNode<Value> {
  return { literals: new Map(), slots: [], plus: undefined, end: undefined, hash: undefined };
}

function wordChild<Value>(
  node: LevelNode<Value>,
  level: string,
  isFirst: boolean,
  widens: boolean,
): LevelNode<Value> {
  const template = levelTemplate(level, isFirst);
  return template === undefined ? literalChild(node, level) : slotChild(node, template, widens);
}

function literalChild<Value>(node: LevelNode<Value>, level: string): LevelNode<Value> {
  let child = node.literals.get(level);
  if (child === undefined) node.literals.set(level, (child = newNode()));
  return child;
}

function slotChild<Value>(
  { slots }: LevelNode<Value>,
  template: LevelTemplate,
  widens: boolean,
): LevelNode<Value> {
  let slot = slots.find((one) => one.template.text === template.text && one.widens === widens);
  if (slot === undefined) slots.push((slot = { template, widens, node: newNode() }));
  return slot.node;
}
