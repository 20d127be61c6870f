/**
 * The retained messages of one space, by topic. The same tree as for subscriptions, the other way round: here the filter
 * walks over the topics.
 */
import { ownBytes } from './framing.js';
import type { Message } from './message.js';
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

/** What a retained message counts for in `RetainedStore.bytes`: what its sender chose the size of, and a fixed share. */
export function retainedBytes(message: Message): number {
  let bytes = 128 + 2 * message.topic.length + message.payload.length;
  const properties = message.properties;
  if (properties === undefined) return bytes;
  bytes += (properties.contentType?.length ?? 0) + (properties.responseTopic?.length ?? 0);
  bytes += properties.correlationData?.length ?? 0;
  for (const [name, value] of properties.userProperties ?? []) bytes += 64 + name.length + value.length;
  return bytes;
}

export class RetainedStore {
  readonly #root = new Node('', undefined);
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  /** The sum of `retainedBytes`. */
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
    node.message = keepable(message);
    this.#count += 1;
    this.#bytes += retainedBytes(message);
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

  /**
   * Visits every message whose topic the filter (valid, not a shared one) matches, until `visit` returns false. The visitor
   * must not change the store.
   */
  visit(filter: string, visit: (message: Message) => boolean): void {
    const levels = filter.split('/');
    const isWild = levels[0] === '#' || levels[0] === '+';
    // Depth first, one iterator a level: `#` over a million topics must not first collect them.
    const steps: Step[] = [{ nodes: [this.#root].values(), depth: 0 }];
    for (;;) {
      const step = steps.at(-1);
      if (step === undefined) return;
      const next = step.nodes.next();
      if (next.done === true) {
        steps.pop();
        continue;
      }
      const node = next.value;
      if (isWild && node.parent === this.#root && isDollarTopic(node.level)) continue; // MQTT-4.7.2-1
      const { depth } = step;
      const level = levels[depth];
      // Past the filter's end, or at a `#`, which matches its parent level too (4.7.1.2).
      if ((level === undefined || level === '#') && node.message !== undefined && !visit(node.message))
        return;
      if (level === undefined || node.children === undefined) continue;
      if (level === '#') steps.push({ nodes: node.children.values(), depth });
      else if (level === '+') steps.push({ nodes: node.children.values(), depth: depth + 1 });
      else {
        const child = node.children.get(level);
        if (child !== undefined) steps.push({ nodes: [child].values(), depth: depth + 1 });
      }
    }
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
    this.#bytes -= retainedBytes(node.message);
    node.message = undefined;
  }
}

function keepable(message: Message): Message {
  const payload = ownBytes(message.payload);
  const data = message.properties?.correlationData;
  if (data === undefined) return payload === message.payload ? message : { ...message, payload };
  return { ...message, payload, properties: { ...message.properties, correlationData: ownBytes(data) } };
}
