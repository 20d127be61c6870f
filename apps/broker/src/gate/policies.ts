import {
  checkRules,
  type Circumstances,
  type CompiledPolicy,
  isConditional,
  type PolicyDocument,
  RuleSet,
  settle,
  telemetryRulesSchema,
  type TelemetryRule,
  type Variables,
} from '#access';
import type { DirectoryDocument } from '#store';

const maxRuleSets = 20_000;

/** A stored policy, or a profile's telemetry rules, that this version of the broker cannot read. */
export class UnreadableRulesError extends Error {
  override readonly name = 'UnreadableRulesError';
  readonly code = 'policy.unreadable';
}

/** The rights of one connection, and when they change by themselves: where a rule's hours begin or end. */
export interface Rights {
  readonly policy: CompiledPolicy;
  readonly reviewAt: number | undefined;
}

/** What binds somebody: policies and telemetry rules. Devices of a kind have the same, whatever their names are. */
export interface BoundRules {
  /** What a sign-in adds is the values of variables; and where rules ask for it, how and when it has come. */
  for(variables: Variables, circumstances: Circumstances): Rights;
}

/** Compiled policies: one for each set of policy versions and telemetry rules. */
export class Policies {
  readonly #ruleSets = new Map<string, RuleSet>();
  readonly #documents = new WeakMap<DirectoryDocument, PolicyDocument>();
  readonly #telemetry = new Map<string, readonly TelemetryRule[]>();

  /** Throws UnreadableRulesError: rights that cannot be read are no rights. */
  bind(stored: readonly DirectoryDocument[], telemetry: unknown): BoundRules {
    const documents = this.#parseAll(stored);
    const text = JSON.stringify(telemetry);
    const readings = this.#parseTelemetry(text, telemetry);
    if (documents.some(isConditional)) {
      return {
        for: (variables, circumstances) => {
          const settled = documents.map((document) => settle(document, circumstances));
          const rules = this.#compile(
            settled.map(({ document }) => document),
            text,
            readings,
          );
          let reviewAt: number | undefined;
          for (const { reviewAt: at } of settled)
            if (at !== undefined && !(at >= (reviewAt ?? Infinity))) reviewAt = at;
          return { policy: rules.for(variables), reviewAt };
        },
      };
    }
    const rules = this.#compile(documents, text, readings);
    return { for: (variables) => ({ policy: rules.for(variables), reviewAt: undefined }) };
  }

  #compile(documents: readonly PolicyDocument[], text: string, readings: readonly TelemetryRule[]): RuleSet {
    const key = keyOf(documents, text);
    let rules = this.#ruleSets.get(key);
    // Used last stands last; the one not used for longest goes first.
    if (rules !== undefined) this.#ruleSets.delete(key);
    else rules = new RuleSet(documents, readings);
    this.#ruleSets.set(key, rules);
    if (this.#ruleSets.size > maxRuleSets) dropFirst(this.#ruleSets);
    return rules;
  }

  #parseAll(documents: readonly DirectoryDocument[]): readonly PolicyDocument[] {
    return documents.map((stored) => {
      const parsed = this.#documents.get(stored) ?? parseDocument(stored);
      this.#documents.set(stored, parsed);
      return parsed;
    });
  }

  #parseTelemetry(text: string, stored: unknown): readonly TelemetryRule[] {
    let parsed = this.#telemetry.get(text);
    if (parsed === undefined) {
      parsed = parseTelemetry(stored);
      this.#telemetry.set(text, parsed);
      if (this.#telemetry.size > maxRuleSets) dropFirst(this.#telemetry);
    }
    return parsed;
  }
}

/** A policy's name is part of what it says of itself, and may change without a new version. */
function keyOf(documents: readonly PolicyDocument[], readings: string): string {
  let key = readings;
  for (const { policyId, version, name, idle } of documents) {
    key += ` ${policyId} ${version} ${JSON.stringify(name)}`;
    if (idle !== undefined) key += `-${Array.from(idle).join('-')}`;
  }
  return key;
}

function parseDocument({ policyId, name, version, rules }: DirectoryDocument): PolicyDocument {
  const checked = checkRules(rules);
  if (!checked.ok) throw new UnreadableRulesError(`policy ${name}, version ${version}, cannot be read`);
  return { policyId, name, version, rules: checked.rules };
}

function parseTelemetry(stored: unknown): readonly TelemetryRule[] {
  const rules = telemetryRulesSchema.safeParse(stored);
  if (!rules.success) throw new UnreadableRulesError('the telemetry rules of the profile cannot be read');
  return rules.data;
}

function dropFirst(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
