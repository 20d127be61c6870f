import type { Qos } from '#mqtt';

import { isTopic, splitLevels } from './filter.js';
import type { LevelNode, LevelTree } from './level-tree.js';
import { type Variables, wordOf } from './variables.js';
import { mergeVerdicts, type Verdict } from './verdict.js';

/**
 * May a whole filter be subscribed to? Only if every topic it matches is allowed: containment of the filter in the union of
 * the allows minus the denies, decided on the wildcard algebra. Matching the filter as if it were a topic is wrong both
 * ways: `a/+` is not granted by `a/b`, and it is granted by `a/b` and `a/+` minus nothing.
 *
 * The walk follows the filter down the tree of rules with the set of all nodes whose levels match so far, the way a
 * non-deterministic automaton is run. Where the filter has a wildcard, topics fall into finitely many classes: one for each
 * literal that some rule names at this place, and one for every other word. `always` is the merged verdict of the `#` rules
 * passed on the way: it holds for everything below. A class is settled, and the walk turns back, as soon as no rule below
 * could change `always`; with the usual rules that is at once.
 *
 * Containment in a union of such patterns is coNP-hard (rules like `a/+/+`, `+/b/+`, `+/+/c` multiply), so the walk has a
 * budget of visited nodes. A filter that exhausts it is refused: what cannot be proved is not granted.
 */
export type Coverage =
  | { readonly covered: true; readonly maxQos: Qos; readonly verdict: Verdict }
  | {
      readonly covered: false;
      /** The deny that is in the way; undefined where nothing allows the witness. */
      readonly verdict: Verdict | undefined;
      /** A topic that the filter matches and the rules do not allow; undefined: the budget was exhausted. */
      readonly witness: string | undefined;
    };

const coverageBudget = 20_000;

type Node = LevelNode<Verdict>;

/** The filters that one tree of rules covers. The tree is complete when this is made; `base` holds where no rule matches. */
export class FilterCover {
  readonly #summaries = new Map<Node, Summary>();

  constructor(
    readonly tree: LevelTree<Verdict>,
    readonly base: Verdict | undefined,
    readonly budget: number = coverageBudget,
  ) {}

  of(filter: string, variables: Variables): Coverage {
    // Rules that cover the whole filter hold for all of its topics: mostly they settle it before the first step.
    const verdict = this.tree.match(filter, variables, this.base);
    if (!isTopic(filter)) return new Walk(this, filter, variables).run(verdict);
    // It matches itself alone, and of one topic that is all there is to say.
    return verdict?.effect === 'allow'
      ? { covered: true, maxQos: verdict.maxQos, verdict }
      : { covered: false, verdict, witness: filter };
  }

  /**
   * What the rules from a node downwards could do: their highest priority, and the strictest of those. Asked once a node, for
   * all principals: levels with variables count whatever they stand for, which at worst makes a walk go on for nothing.
   */
  summary(node: Node): Summary {
    let summary = this.#summaries.get(node);
    if (summary === undefined) {
      summary = summarize(node, (child) => this.summary(child));
      this.#summaries.set(node, summary);
    }
    return summary;
  }
}

class Walk {
  readonly #cover: FilterCover;
  readonly #variables: Variables;
  readonly #levels: readonly string[];
  readonly #path: string[] = [];
  #budget: number;
  #lowest: Verdict | undefined;
  #failed: Coverage & { covered: false } = { covered: false, verdict: undefined, witness: undefined };

  constructor(cover: FilterCover, filter: string, variables: Variables) {
    this.#cover = cover;
    this.#variables = variables;
    this.#levels = splitLevels(filter);
    this.#budget = cover.budget;
  }

  /** `base`: what the rules say that each cover the whole filter. */
  run(base: Verdict | undefined): Coverage {
    const { tree } = this.#cover;
    const first = this.#levels[0] ?? '';
    // A leading wildcard of a rule does not match the server's own topics (MQTT-4.7.2-1), nor does it hold for all below.
    const covered = first.startsWith('$')
      ? this.#walkOn([tree.root], base, first, 1)
      : this.#walk([tree.root], base, 0);
    if (!covered || this.#lowest === undefined) return this.#failed;
    return { covered: true, maxQos: this.#lowest.maxQos, verdict: this.#lowest };
  }

  /** True when every topic that goes on from here by the filter's levels from `index` on is allowed. */
  #walk(nodes: readonly Node[], above: Verdict | undefined, index: number): boolean {
    this.#budget -= nodes.length + 1;
    if (this.#budget < 0) return false;
    const level = this.#levels[index];
    if (level === undefined && this.#isAtEmptyTopic()) return true;
    let always = above;
    for (const node of nodes) if (node.hash !== undefined) always = mergeVerdicts(always, node.hash);
    if (this.#isSettled(nodes, always)) return this.#judge(always, index);
    if (level === undefined) return this.#judge(endOf(nodes, always), index);
    if (level === '+') return this.#walkClasses(nodes, always, index + 1);
    if (level !== '#') return this.#walkOn(nodes, always, level, index + 1);
    // `a/#` matches `a` too (MQTT 5.0, 4.7.1.2).
    const isTopic = this.#path.length > 0 && !this.#isAtEmptyTopic();
    if (isTopic && !this.#judge(endOf(nodes, always), index + 1)) return false;
    return this.#walkClasses(nodes, always, index);
  }

  /** Every word that some rule names at this place, and one that stands for all others. */
  #walkClasses(nodes: readonly Node[], always: Verdict | undefined, next: number): boolean {
    const named = new Map<string, Node[]>();
    const whatever: Node[] = [];
    const isFirst = this.#path.length === 0;
    const name = (word: string, child: Node): void => {
      // The filter's own leading wildcard leaves out the server's topics.
      if (isFirst && word.startsWith('$')) return;
      const children = named.get(word);
      if (children === undefined) named.set(word, [child]);
      else children.push(child);
    };
    for (const node of nodes) {
      for (const [word, child] of node.literals) name(word, child);
      for (const { template, widens, node: child } of node.slots) {
        const word = wordOf(template, this.#variables);
        if (word !== undefined) name(word, child);
        else if (widens) whatever.push(child);
      }
      if (node.plus !== undefined) whatever.push(node.plus);
    }
    if (!this.#enter(whatever, always, otherThan(named), next)) return false;
    for (const [word, children] of named) {
      if (!this.#enter([...children, ...whatever], always, word, next)) return false;
    }
    return true;
  }

  #walkOn(nodes: readonly Node[], always: Verdict | undefined, word: string, next: number): boolean {
    const reached: Node[] = [];
    const isOwn = this.#path.length === 0 && word.startsWith('$');
    for (const node of nodes) {
      const child = node.literals.get(word);
      if (child !== undefined) reached.push(child);
      for (const slot of node.slots) {
        const meant = wordOf(slot.template, this.#variables);
        if (meant === word || (meant === undefined && slot.widens && !isOwn)) reached.push(slot.node);
      }
      if (node.plus !== undefined && !isOwn) reached.push(node.plus);
    }
    return this.#enter(reached, always, word, next);
  }

  #enter(reached: readonly Node[], always: Verdict | undefined, word: string, next: number): boolean {
    this.#path.push(word);
    const covered = this.#walk(reached, always, next);
    this.#path.pop();
    return covered;
  }

  /** A single empty level is no topic: topics have at least one character (MQTT-4.7.3-1). */
  #isAtEmptyTopic(): boolean {
    return this.#path.length === 1 && this.#path[0] === '';
  }

  #judge(verdict: Verdict | undefined, index: number): boolean {
    if (verdict?.effect === 'allow') {
      if (this.#lowest === undefined || verdict.maxQos < this.#lowest.maxQos) this.#lowest = verdict;
      return true;
    }
    this.#failed = { covered: false, verdict, witness: this.#witness(index) };
    return false;
  }

  #isSettled(nodes: readonly Node[], always: Verdict | undefined): boolean {
    for (const node of nodes) {
      const below = this.#cover.summary(node);
      if (below.priority === undefined) continue;
      if (always === undefined || below.priority > always.priority) return false;
      if (always.effect === 'deny' || below.priority < always.priority) continue;
      if (below.denies || below.maxQos < always.maxQos) return false;
    }
    return true;
  }

  #witness(index: number): string {
    const rest = this.#levels.slice(index).map((level) => (level === '+' ? 'x' : level));
    if (rest.at(-1) === '#') rest.splice(-1, 1, ...(this.#path.length + rest.length > 1 ? [] : ['x']));
    return [...this.#path, ...rest].join('/');
  }
}

interface Summary {
  readonly priority: number | undefined;
  readonly denies: boolean;
  readonly maxQos: Qos;
}

const nothingBelow: Summary = { priority: undefined, denies: false, maxQos: 2 };

function summarize(node: Node, of: (child: Node) => Summary): Summary {
  let summary = stricter(stricter(nothingBelow, fromVerdict(node.end)), fromVerdict(node.hash));
  if (node.plus !== undefined) summary = stricter(summary, of(node.plus));
  for (const child of node.literals.values()) summary = stricter(summary, of(child));
  for (const slot of node.slots) summary = stricter(summary, of(slot.node));
  return summary;
}

function fromVerdict(verdict: Verdict | undefined): Summary {
  if (verdict === undefined) return nothingBelow;
  return { priority: verdict.priority, denies: verdict.effect === 'deny', maxQos: verdict.maxQos };
}

function stricter(a: Summary, b: Summary): Summary {
  if (b.priority === undefined) return a;
  if (a.priority === undefined || b.priority > a.priority) return b;
  if (a.priority > b.priority) return a;
  return {
    priority: a.priority,
    denies: a.denies || b.denies,
    maxQos: a.maxQos < b.maxQos ? a.maxQos : b.maxQos,
  };
}

function endOf(nodes: readonly Node[], always: Verdict | undefined): Verdict | undefined {
  let verdict = always;
  for (const node of nodes) if (node.end !== undefined) verdict = mergeVerdicts(verdict, node.end);
  return verdict;
}

/** A word that none of the rules names: it stands for all such words. */
function otherThan(words: ReadonlyMap<string, unknown>): string {
  let word = 'x';
  while (words.has(word)) word += 'x';
  return word;
}
