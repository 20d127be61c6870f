/**
 * Subscriptions by topic filter. A tree with a node per level: a match walks the levels of the topic once, and at each keeps
 * the nodes that the levels so far lead to, so that its cost grows with the topic's levels and with what matches on the way,
 * not with how many subscriptions there are. Nothing recurses: a topic of a thousand levels costs a thousand steps.
 *
 * Memory, because there may be a million filters: most nodes have one child and most filters one subscriber. Both are kept
 * bare, and get a Map with the second.
 */
import { isDollarTopic, levelEnd } from './topic.js';

const hash = 0x23;
const plus = 0x2b;

class Entry<V> {
  readonly key: string;
  value: V;

  constructor(key: string, value: V) {
    this.key = key;
    this.value = value;
  }
}

class Node<V> {
  /** The level that leads here. */
  readonly level: string;
  children: Node<V> | Map<string, Node<V>> | undefined = undefined;
  entries: Entry<V> | Map<string, V> | undefined = undefined;

  constructor(level: string) {
    this.level = level;
  }

  child(level: string): Node<V> | undefined {
    const children = this.children;
    if (children === undefined) return undefined;
    if (children instanceof Node) return children.level === level ? children : undefined;
    return children.get(level);
  }

  /** The child that the topic's level from `start` to `end` leads to. */
  childAt(topic: string, start: number, end: number): Node<V> | undefined {
    const children = this.children;
    if (children === undefined) return undefined;
    if (!(children instanceof Node)) return children.get(topic.slice(start, end));
    return children.isAt(topic, start, end) ? children : undefined;
  }

  /** Whether this is the topic's level from `start` to `end`. */
  isAt(topic: string, start: number, end: number): boolean {
    const { level } = this;
    return level.length === end - start && topic.startsWith(level, start);
  }

  /** By one character, and this one. */
  isNamed(unit: number): boolean {
    const { level } = this;
    return level.length === 1 && level.charCodeAt(0) === unit;
  }

  addChild(level: string): Node<V> {
    const added = new Node<V>(level);
    const children = this.children;
    if (children === undefined) this.children = added;
    else if (children instanceof Node) {
      this.children = new Map([
        [children.level, children],
        [level, added],
      ]);
    } else children.set(level, added);
    return added;
  }

  removeChild(level: string): void {
    const children = this.children;
    if (children instanceof Map) {
      children.delete(level);
      if (children.size > 1) return;
      const [last] = children.values();
      this.children = last;
    } else this.children = undefined;
  }

  /** Returns whether the key is new here. */
  setEntry(key: string, value: V): boolean {
    const entries = this.entries;
    if (entries instanceof Map) {
      const before = entries.size;
      entries.set(key, value);
      return entries.size > before;
    }
    if (entries === undefined) {
      this.entries = new Entry(key, value);
      return true;
    }
    if (entries.key === key) {
      entries.value = value;
      return false;
    }
    this.entries = new Map([
      [entries.key, entries.value],
      [key, value],
    ]);
    return true;
  }

  /** Returns whether the key was here. */
  deleteEntry(key: string): boolean {
    const entries = this.entries;
    if (entries === undefined) return false;
    if (entries instanceof Map) {
      if (!entries.delete(key)) return false;
      const [last] = entries;
      if (entries.size === 1 && last !== undefined) this.entries = new Entry(last[0], last[1]);
      return true;
    }
    if (entries.key !== key) return false;
    this.entries = undefined;
    return true;
  }

  visitEntries(visit: (value: V, key: string) => void): void {
    const entries = this.entries;
    if (entries === undefined) return;
    if (entries instanceof Map) for (const [key, value] of entries) visit(value, key);
    else visit(entries.value, entries.key);
  }
}

/** Values by (filter, key). The filters must be valid, and shared ones have shed their `$share/…/`. */
export class TopicTree<V> {
  readonly #root = new Node<V>('');
  #size = 0;

  /** How many (filter, key) pairs there are. */
  get size(): number {
    return this.#size;
  }

  /** No node is left but the root. */
  get isEmpty(): boolean {
    return this.#root.children === undefined;
  }

  /** Adds or replaces; returns whether it was added. */
  set(filter: string, key: string, value: V): boolean {
    let node = this.#root;
    for (const level of filter.split('/')) node = node.child(level) ?? node.addChild(level);
    const isNew = node.setEntry(key, value);
    if (isNew) this.#size += 1;
    return isNew;
  }

  /** Returns whether there was one. Nodes that lead nowhere any more go with it. */
  delete(filter: string, key: string): boolean {
    let node = this.#root;
    // The last node on the way that others need too, and the child by which the way goes on from it.
    let stays = node;
    let branch: Node<V> | undefined;
    for (let start = 0; start <= filter.length;) {
      const end = levelEnd(filter, start);
      const next = node.childAt(filter, start, end);
      if (next === undefined) return false;
      if (branch === undefined || node.entries !== undefined || node.children instanceof Map) {
        stays = node;
        branch = next;
      }
      node = next;
      start = end + 1;
    }
    if (!node.deleteEntry(key)) return false;
    this.#size -= 1;
    const leadsNowhere = node.entries === undefined && node.children === undefined;
    if (leadsNowhere && branch !== undefined) stays.removeChild(branch.level);
    return true;
  }

  /**
   * Visits the value of every (filter, key) whose filter matches the topic: a key as often as it has matching filters.
   * `visit` must not change the tree.
   */
  match(topic: string, visit: (value: V, key: string) => void): void {
    const isDollar = isDollarTopic(topic);
    // Of both only so many are meant as are counted: an array that is emptied makes its memory anew, for each level.
    let reached: Node<V>[] = [this.#root];
    let reachedCount = 1;
    let next: Node<V>[] = [];
    for (let start = 0; start <= topic.length;) {
      const end = levelEnd(topic, start);
      const mayBeWild = start > 0 || !isDollar; // MQTT-4.7.2-1
      let nextCount = 0;
      for (let i = 0; i < reachedCount; i++) {
        const { children } = reached[i] as Node<V>;
        if (children === undefined) continue;
        if (children instanceof Node) {
          // A level of a topic is no wildcard: the one child is one, or it may be the topic's own level.
          if (children.isNamed(hash)) {
            if (mayBeWild) children.visitEntries(visit);
          } else if (children.isNamed(plus) ? mayBeWild : children.isAt(topic, start, end)) {
            next[nextCount++] = children;
          }
          continue;
        }
        const child = children.get(topic.slice(start, end));
        if (child !== undefined) next[nextCount++] = child;
        if (!mayBeWild) continue;
        const one = children.get('+');
        if (one !== undefined) next[nextCount++] = one;
        children.get('#')?.visitEntries(visit);
      }
      if (nextCount === 0) return;
      const done = reached;
      reached = next;
      reachedCount = nextCount;
      next = done;
      start = end + 1;
    }
    for (let i = 0; i < reachedCount; i++) {
      const node = reached[i] as Node<V>;
      node.visitEntries(visit);
      node.child('#')?.visitEntries(visit); // `a/#` matches `a`, 4.7.1.2
    }
  }
}
