/**
 * Subscriptions by topic filter. A tree with a node per level: a match goes down the levels of the topic, one way after the other
 * where a node leads on by the level's own name and by `+`, so that its cost grows with the topic's levels and with what matches on
 * the way, not with how many subscriptions there are. Nothing recurses: a topic of a thousand levels costs a thousand steps, and
 * as most topics have one way to go, most matches make nothing. (To keep all nodes that a level leads to in lists, level by level, took
 * up to three times as long for a thousand levels, and half as long again or more for a usual topic: bench/history.md.)
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

/** From a node on, with the topic's level that begins at `start`. */
interface Way<V> {
  readonly node: Node<V>;
  readonly start: number;
  readonly before: Way<V> | undefined;
}

class Node<V> {
  /** The level that leads here. */
  readonly level: string;
  /** The level's character where it is a wildcard, else 0. */
  readonly wildcard: number;
  children: Node<V> | Map<string, Node<V>> | undefined = undefined;
  entries: Entry<V> | Map<string, V> | undefined = undefined;

  constructor(level: string) {
    this.level = level;
    this.wildcard = level === '+' ? plus : level === '#' ? hash : 0;
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
    // Where two ways go on from a node, one waits here until the other has come to its end.
    let waiting: Way<V> | undefined;
    let node = this.#root;
    let start = 0;
    const isDollar = isDollarTopic(topic);
    for (;;) {
      let next: Node<V> | undefined;
      if (start > topic.length) {
        node.visitEntries(visit);
        node.child('#')?.visitEntries(visit); // `a/#` matches `a`, 4.7.1.2
      } else {
        const { children } = node;
        const mayBeWild = start > 0 || !isDollar; // MQTT-4.7.2-1
        const end = levelEnd(topic, start);
        if (children instanceof Node) {
          // A level of a topic is no wildcard: the one child is one, or it may be the topic's own level.
          if (children.wildcard === hash) {
            if (mayBeWild) children.visitEntries(visit);
          } else if (children.wildcard === plus ? mayBeWild : children.isAt(topic, start, end))
            next = children;
        } else if (children !== undefined) {
          next = children.get(topic.slice(start, end));
          if (mayBeWild) {
            children.get('#')?.visitEntries(visit);
            const one = children.get('+');
            if (next === undefined) next = one;
            else if (one !== undefined) waiting = { node: one, start: end + 1, before: waiting };
          }
        }
        start = end + 1;
      }
      if (next !== undefined) node = next;
      else if (waiting === undefined) return;
      else ({ node, start, before: waiting } = waiting);
    }
  }
}
