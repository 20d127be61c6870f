/**
 * The retained messages of one space, by topic. The same tree as for subscriptions, the other way round: here the filter
 * walks over the topics.
 */
import type { Message } from './message.js';
import { keptBytes, ownMessage } from './publication.js';
import { isDollarTopic } from './topic.js';

class Node {
  readonly level: string;
  readonly parent: Node | undefined;
  children: Map<string, Node> | undefined = undefined;
  message: Message | undefined = undefined;

  constructor(level: string, parent: Node | undefined) {
    this.level = level;
    this.parent = parent;
  }
}

/** Nodes still to be looked at, all at the same level of the filter. */
interface Step {
  readonly nodes: Iterator<Node>;
  readonly depth: number;
}

/** A topic with writes under way. */
interface Unsettled {
  /** What the vault holds of it. */
  stored: Message | undefined;
  writes: number;
}

export class RetainedStore {
  readonly #root = new Node('', undefined);
  #count = 0;
  #bytes = 0;
  readonly #unsettled = new Map<string, Unsettled>();
  /** Nothing expires before. */
  #firstExpiry = Number.POSITIVE_INFINITY;

  get count(): number {
    return this.#count;
  }

  /** The sum of `keptBytes`. */
  get bytes(): number {
    return this.#bytes;
  }

  /** No node is left but the root. */
  get isEmpty(): boolean {
    return this.#root.children === undefined;
  }

  get(topic: string): Message | undefined {
    return this.#find(topic)?.message;
  }

  /** Replaces what the topic held. The store keeps its own copy of bytes that are a view on a received chunk. */
  set(message: Message): void {
    let node = this.#root;
    for (const level of message.topic.split('/')) {
      node.children ??= new Map();
      let next = node.children.get(level);
      if (next === undefined) {
        next = new Node(level, node);
        node.children.set(level, next);
      }
      node = next;
    }
    this.#forget(node);
    node.message = ownMessage(message);
    this.#count += 1;
    this.#bytes += keptBytes(message);
    if (message.expiresAt !== undefined && message.expiresAt < this.#firstExpiry) {
      this.#firstExpiry = message.expiresAt;
    }
  }

  /**
   * What a client retains, or with `undefined` clears, is seen from now on, as a message is delivered before it is stored; should
   * the vault fail, `settle` takes it back. False: there is nothing to clear, neither here nor in the vault.
   */
  propose(topic: string, message: Message | undefined): boolean {
    let unsettled = this.#unsettled.get(topic);
    if (unsettled === undefined) {
      const stored = this.get(topic);
      if (stored === undefined && message === undefined) return false;
      unsettled = { stored, writes: 0 };
      this.#unsettled.set(topic, unsettled);
    }
    unsettled.writes += 1;
    this.#apply(topic, message);
    return true;
  }

  /** The vault has committed what was proposed, or never will. To be called in the order of the proposals. */
  settle(topic: string, message: Message | undefined, error: Error | undefined): void {
    const unsettled = this.#unsettled.get(topic);
    if (unsettled === undefined) return;
    unsettled.writes -= 1;
    if (error === undefined) unsettled.stored = message;
    if (unsettled.writes > 0) return;
    this.#unsettled.delete(topic);
    if (error !== undefined) this.#apply(topic, unsettled.stored);
  }

  #apply(topic: string, message: Message | undefined): void {
    if (message === undefined) this.clear(topic);
    else this.set(message);
  }

  /** Those whose time is over: they are looked for where room is short, and no oftener than there can be any. */
  expired(now: number): Message[] {
    const found: Message[] = [];
    if (now < this.#firstExpiry) return found;
    this.#firstExpiry = Number.POSITIVE_INFINITY;
    this.visit('#', (message) => {
      const { expiresAt } = message;
      if (expiresAt === undefined) return true;
      if (expiresAt <= now) found.push(message);
      else this.#firstExpiry = Math.min(this.#firstExpiry, expiresAt);
      return true;
    });
    return found;
  }

  /** Returns whether the topic held one. */
  clear(topic: string): boolean {
    let node = this.#find(topic);
    if (node?.message === undefined) return false;
    this.#forget(node);
    while (node.parent !== undefined && node.message === undefined && node.children === undefined) {
      const parent: Node = node.parent;
      parent.children?.delete(node.level);
      if (parent.children?.size === 0) parent.children = undefined;
      node = parent;
    }
    return true;
  }

  /** A walk over the messages whose topic the filter (valid, not a shared one) matches. */
  walk(filter: string): Walk {
    return new Walk(this.#root, filter);
  }

  /** The whole walk at once, until `visit` returns false. The visitor must not change the store. */
  visit(filter: string, visit: (message: Message) => boolean): void {
    this.walk(filter).go(Number.POSITIVE_INFINITY, visit);
  }

  #find(topic: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const level of topic.split('/')) {
      node = node.children?.get(level);
      if (node === undefined) return undefined;
    }
    return node;
  }

  #forget(node: Node): void {
    if (node.message === undefined) return;
    this.#count -= 1;
    this.#bytes -= keptBytes(node.message);
    node.message = undefined;
  }
}

/**
 * Depth first, one iterator a level: `#` over a million topics must not first collect them, and may rest on the way. Between
 * two goes the store may change: what goes is not visited, what comes may be.
 */
export class Walk {
  readonly #root: Node;
  readonly #levels: readonly string[];
  readonly #isWild: boolean;
  readonly #steps: Step[];

  constructor(root: Node, filter: string) {
    this.#root = root;
    this.#levels = filter.split('/');
    this.#isWild = this.#levels[0] === '#' || this.#levels[0] === '+';
    this.#steps = [{ nodes: [root].values(), depth: 0 }];
  }

  get isDone(): boolean {
    return this.#steps.length === 0;
  }

  /** Looks at so many nodes at most, until `visit` returns false; returns how many are left of them. */
  go(mostNodes: number, visit: (message: Message) => boolean): number {
    let left = mostNodes;
    for (let step = this.#steps.at(-1); step !== undefined; step = this.#steps.at(-1)) {
      if (left <= 0) return 0;
      left -= 1;
      const next = step.nodes.next();
      if (next.done === true) {
        this.#steps.pop();
        continue;
      }
      const node = next.value;
      if (this.#isWild && node.parent === this.#root && isDollarTopic(node.level)) continue; // MQTT-4.7.2-1
      const level = this.#levels[step.depth];
      // Past the filter's end, or at a `#`, which matches its parent level too (4.7.1.2).
      const isMatch = (level === undefined || level === '#') && node.message !== undefined;
      if (isMatch && !visit(node.message as Message)) {
        this.#steps.length = 0;
        return left;
      }
      this.#descend(node, level, step.depth);
    }
    return left;
  }

  #descend({ children }: Node, level: string | undefined, depth: number): void {
    if (level === undefined || children === undefined) return;
    if (level === '#') this.#steps.push({ nodes: children.values(), depth });
    else if (level === '+') this.#steps.push({ nodes: children.values(), depth: depth + 1 });
    else {
      const child = children.get(level);
      if (child !== undefined) this.#steps.push({ nodes: [child].values(), depth: depth + 1 });
    }
  }
}
