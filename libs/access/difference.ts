/**
 * What two lists of rules say differently, by what they cover and not by how they are written: a rule is new where there is a topic of
 * which it says more than the other list says already. Rules that are split, joined, moved, or written twice are no difference.
 *
 * Verdicts on one topic are merged, in any order and as often as one likes (verdict.ts). So a rule says nothing new exactly if on every
 * topic that it matches the merged verdict of the others stays what it is when the rule's is merged in; and once it does, no further rule
 * changes that. Hence a walk along the rule's own topics suffices, and of all words that a wildcard of it may stand for only one must be
 * looked at: one that no rule names, for every other word is matched by these rules and more. If no rule of either list says anything
 * new to the other, both lists decide the same, on every topic, with every priority: whatever other policies are bound beside them.
 *
 * It errs on the side of a difference. A variable is a word like no other: `a/${device}` says something that `a/pump-1` does not, for some
 * device. A rule with conditions on the connection is held against rules without, and against those with the very same ones.
 */
import { isDeepStrictEqual } from 'node:util';

import { splitLevels } from './filter.js';
import { type LevelNode, LevelTree } from './level-tree.js';
import type { Action, Rule } from './rules.js';
import { variablesOf } from './variables.js';
import { isSameVerdict, mergeVerdicts, verdictOf, type Verdict } from './verdict.js';

export interface RuleDifference {
  /** Rules of the one that say something which those of the other do not. */
  readonly added: readonly Rule[];
  readonly removed: readonly Rule[];
}

export function ruleDifference(before: readonly Rule[], after: readonly Rule[]): RuleDifference {
  return { added: newIn(after, new Sayings(before)), removed: newIn(before, new Sayings(after)) };
}

function newIn(rules: readonly Rule[], others: Sayings): Rule[] {
  return rules.filter((rule) => !others.include(rule));
}

type Node = LevelNode<Verdict>;

/** What a list of rules says, where the same conditions are met. */
class Sayings {
  readonly #rules: readonly Rule[];
  readonly #trees = new Map<string, LevelTree<Verdict>>();

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  include(rule: Rule): boolean {
    return rule.actions.every((action) => this.#includes(rule, action));
  }

  #includes(rule: Rule, action: Action): boolean {
    // An allow of these two takes away what there is without a rule, even where it does not hold.
    const narrows = rule.effect === 'allow' && (action === 'connect' || action === 'receive');
    if (narrows && !this.#rules.some(({ effect, actions }) => effect === 'allow' && actions.includes(action)))
      return false;
    const said = verdictOf(rule, undefined);
    if (action === 'connect') {
      const others = this.#comparable(rule).filter(({ actions }) => actions.includes(action));
      const merged = others.reduce<Verdict | undefined>(
        (verdict, other) => mergeVerdicts(verdict, verdictOf(other, undefined)),
        undefined,
      );
      return isSaid(merged, said);
    }
    const tree = this.#treeOf(rule, action);
    return rule.topics.every((topic) => new Walk(topic, said).isSaidIn(tree.root));
  }

  #treeOf(rule: Rule, action: Action): LevelTree<Verdict> {
    const key = `${action} ${JSON.stringify(conditionsOf(rule))}`;
    let tree = this.#trees.get(key);
    if (tree !== undefined) return tree;
    this.#trees.set(key, (tree = new LevelTree(mergeVerdicts)));
    for (const other of this.#comparable(rule)) {
      if (!other.actions.includes(action)) continue;
      for (const topic of other.topics) tree.add(topic, other.effect === 'deny', verdictOf(other, undefined));
    }
    return tree;
  }

  /** Whose conditions are met whenever those of this rule are. */
  #comparable(rule: Rule): Rule[] {
    const conditions = conditionsOf(rule);
    return this.#rules.filter((other) => {
      const own = conditionsOf(other);
      return Object.keys(own).length === 0 || isDeepStrictEqual(own, conditions);
    });
  }
}

function conditionsOf({ when = {} }: Rule): object {
  const { transports, addresses, time } = when;
  return Object.fromEntries(
    Object.entries({ transports, addresses, time }).filter(([, condition]) => condition !== undefined),
  );
}

/** Whether this verdict stays what it is when the other is merged in. */
function isSaid(verdict: Verdict | undefined, said: Verdict): boolean {
  return verdict !== undefined && isSameVerdict(mergeVerdicts(verdict, said), verdict);
}

class Walk {
  readonly #levels: readonly string[];
  readonly #said: Verdict;
  readonly #variables: ReadonlySet<string>;

  constructor(topic: string, said: Verdict) {
    this.#levels = splitLevels(topic);
    this.#said = said;
    this.#variables = new Set(variablesOf(topic));
  }

  isSaidIn(root: Node): boolean {
    return this.#walk([root], undefined, 0);
  }

  #walk(nodes: readonly Node[], above: Verdict | undefined, index: number): boolean {
    const level = this.#levels[index];
    // A leading wildcard does not match the server's own topics (MQTT-4.7.2-1).
    const isOwn = index === 0 && level?.startsWith('$') === true && !level.startsWith('${');
    let always = above;
    if (!isOwn) for (const { hash } of nodes) if (hash !== undefined) always = mergeVerdicts(always, hash);
    if (isSaid(always, this.#said)) return true;
    if (nodes.length === 0) return false;
    if (level === undefined) return this.#isSaidAtEnd(nodes, always);
    // `a/#` matches `a` too (MQTT 5.0, 4.7.1.2), and `/#` nothing of one level: topics have at least one character (MQTT-4.7.3-1).
    const isTopic = index > 1 || (index === 1 && this.#levels[0] !== '');
    if (level === '#' && isTopic && !this.#isSaidAtEnd(nodes, always)) return false;
    const reached: Node[] = [];
    for (const { literals, slots, plus } of nodes) {
      const child = literals.get(level);
      if (child !== undefined) reached.push(child);
      for (const { template, widens, node } of slots)
        if (template.text === level && this.#holds(widens, level)) reached.push(node);
      if (plus !== undefined && !isOwn) reached.push(plus);
    }
    return level === '#' ? this.#walkOn(reached, always, index) : this.#walk(reached, always, index + 1);
  }

  /** The same again a level deeper: the rules come to their ends. */
  #walkOn(nodes: readonly Node[], always: Verdict | undefined, index: number): boolean {
    let verdict = always;
    for (const { hash } of nodes) if (hash !== undefined) verdict = mergeVerdicts(verdict, hash);
    if (isSaid(verdict, this.#said)) return true;
    if (nodes.length === 0 || !this.#isSaidAtEnd(nodes, verdict)) return false;
    const reached = nodes.flatMap(({ plus }) => plus ?? []);
    return this.#walkOn(reached, verdict, index);
  }

  #isSaidAtEnd(nodes: readonly Node[], always: Verdict | undefined): boolean {
    let verdict = always;
    for (const { end } of nodes) if (end !== undefined) verdict = mergeVerdicts(verdict, end);
    return isSaid(verdict, this.#said);
  }

  /**
   * Whether that level of another rule stands for the same word whenever this rule has a say. A deny whose variables have no value holds for
   * every word, and so does its like; an allow is then as if it were not there, and must not be counted on.
   */
  #holds(widens: boolean, level: string): boolean {
    if (this.#said.effect === 'deny') return widens;
    return widens || variablesOf(level).every((name) => this.#variables.has(name));
  }
}
