import {
  checkRules,
  compile,
  type CompiledPolicy,
  type PolicyDocument,
  telemetryRulesSchema,
  type TelemetryRule,
  valueOfVariable,
  variablesIn,
  type Variables,
} from '#access';
import type { DirectoryDocument } from '#store';

const maxPolicies = 20_000;

/** A stored policy, or a profile's telemetry rules, that this version of the broker cannot read. */
export class UnreadableRulesError extends Error {
  override readonly name = 'UnreadableRulesError';
  readonly code = 'policy.unreadable';
}

/** Compiled policies: one for each set of policy versions, telemetry rules, and values of the variables that they use. */
export class Policies {
  readonly #compiled = new Map<string, CompiledPolicy>();
  readonly #parsed = new WeakMap<DirectoryDocument, ParsedDocument>();
  readonly #telemetry = new Map<string, ParsedTelemetry>();

  /** Throws UnreadableRulesError: rights that cannot be read are no rights. */
  of(documents: readonly DirectoryDocument[], telemetry: unknown, variables: Variables): CompiledPolicy {
    const parsed = documents.map((document) => this.#parse(document));
    const readings = this.#parseTelemetry(telemetry);
    const used = new Set([...parsed.flatMap(({ uses }) => uses), ...readings.uses]);
    const key = JSON.stringify([
      documents.map(({ policyId, version, name }) => [policyId, version, name]),
      readings.text,
      [...used].sort().map((name) => [name, valueOfVariable(name, variables)]),
    ]);
    const known = this.#compiled.get(key);
    const policy =
      known ??
      compile(
        parsed.map(({ document }) => document),
        variables,
        readings.rules,
      );
    // Used last stands last; the one not used for longest goes first.
    if (known !== undefined) this.#compiled.delete(key);
    this.#compiled.set(key, policy);
    if (this.#compiled.size > maxPolicies) dropFirst(this.#compiled);
    return policy;
  }

  #parse(stored: DirectoryDocument): ParsedDocument {
    let parsed = this.#parsed.get(stored);
    if (parsed === undefined) {
      parsed = parseDocument(stored);
      this.#parsed.set(stored, parsed);
    }
    return parsed;
  }

  #parseTelemetry(stored: unknown): ParsedTelemetry {
    const text = JSON.stringify(stored);
    let parsed = this.#telemetry.get(text);
    if (parsed === undefined) {
      parsed = parseTelemetry(text, stored);
      this.#telemetry.set(text, parsed);
      if (this.#telemetry.size > maxPolicies) dropFirst(this.#telemetry);
    }
    return parsed;
  }
}

interface ParsedDocument {
  readonly document: PolicyDocument;
  readonly uses: readonly string[];
}

interface ParsedTelemetry {
  readonly text: string;
  readonly rules: readonly TelemetryRule[];
  readonly uses: readonly string[];
}

function parseDocument({ policyId, name, version, rules }: DirectoryDocument): ParsedDocument {
  const checked = checkRules(rules);
  if (!checked.ok) throw new UnreadableRulesError(`policy ${name}, version ${version}, cannot be read`);
  const topics = checked.rules.flatMap((rule) => rule.topics);
  return { document: { policyId, name, version, rules: checked.rules }, uses: variablesIn(topics) };
}

function parseTelemetry(text: string, stored: unknown): ParsedTelemetry {
  const rules = telemetryRulesSchema.safeParse(stored);
  if (!rules.success) throw new UnreadableRulesError('the telemetry rules of the profile cannot be read');
  return { text, rules: rules.data, uses: variablesIn(rules.data.map((rule) => rule.filter)) };
}

function dropFirst(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
