/**
 * Variables in rules: `${device}` inside a topic of a policy stands for the name of the device that asks. A value is never
 * read as a wildcard or as several levels: one that holds `+ # /` or NUL does not expand.
 */

import { isMqttText } from './filter.js';

/** What a principal's variables stand for. A missing attribute is a variable without a value. */
export interface Variables {
  readonly tenant: string;
  readonly device: string;
  readonly clientId: string;
  readonly username: string;
  /** Of the certificate that was shown and stands, where it has exactly one. */
  readonly commonName?: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
}

const variable = /\$\{([^{}]*)\}/g;
const attribute = /^attr\.[A-Za-z0-9_-]{1,64}$/;
export const commonNameVariable = 'cert.cn';
const names: ReadonlySet<string> = new Set(['tenant', 'device', 'clientId', 'username', commonNameVariable]);

export type VariableFault = 'unknown-variable' | 'malformed-variable';

/** What is wrong with the variables of a template, if anything is. */
export function variableFault(template: string): VariableFault | undefined {
  for (const [, name = ''] of template.matchAll(variable)) {
    if (!names.has(name) && !attribute.test(name)) return 'unknown-variable';
  }
  return template.replaceAll(variable, '').includes('${') ? 'malformed-variable' : undefined;
}

/** Names of its variables. */
export function variablesOf(template: string): string[] {
  return Array.from(template.matchAll(variable), ([, name = '']) => name);
}

/** The template with a plain word in every variable's place: what its syntax is judged by. */
export function withoutVariables(template: string): string {
  return template.replaceAll(variable, 'v');
}

/** True for a value that a variable may take: not empty, and nothing in it that MQTT reads as syntax. */
export function isExpandable(value: string): boolean {
  return value.length > 0 && !/[+#/\0]/.test(value) && value.isWellFormed();
}

/** Whether it may stand for a level of a topic, and for a client identifier: such as the broker reads. */
export function isTopicWord(value: string): boolean {
  return isExpandable(value) && isMqttText(value);
}

/** The template with values in place; undefined where one of its variables has no usable value. */
export function expand(template: string, variables: Variables): string | undefined {
  if (!template.includes('${')) return template;
  const expanded = replaced(template, variables);
  // A value must not open the server's own topics: `${attr.x}/a` never becomes `$SYS/a`.
  return template.startsWith('${') && expanded?.startsWith('$') === true ? undefined : expanded;
}

function replaced(template: string, variables: Variables): string | undefined {
  let complete = true;
  const text = template.replaceAll(variable, (_, name: string) => {
    const value = usableValue(name, variables);
    if (value === undefined) complete = false;
    return value ?? '';
  });
  return complete ? text : undefined;
}

function usableValue(name: string, variables: Variables): string | undefined {
  const value = valueOfVariable(name, variables);
  return value !== undefined && isExpandable(value) ? value : undefined;
}

/**
 * The template with values in place, and `+` for every level whose variables have none: the smallest filter that covers
 * whatever the template could have meant. Denies expand so: not knowing a value must not lift a prohibition.
 */
export function expandWidely(template: string, variables: Variables): string {
  return template
    .split('/')
    .map((level, index) => {
      const slot = levelTemplate(level, index === 0);
      return slot === undefined ? level : (wordOf(slot, variables) ?? '+');
    })
    .join('/');
}

/** A level of a topic that holds variables: `${device}`, `x-${clientId}`. */
export interface LevelTemplate {
  readonly text: string;
  /** It is nothing but this variable. */
  readonly name: string | undefined;
  /** It opens the topic with a variable: its word may not be one of the server's own. */
  readonly opensTopic: boolean;
}

/** Undefined: the level is a word as it stands, or a wildcard. */
export function levelTemplate(level: string, isFirst: boolean): LevelTemplate | undefined {
  if (!level.includes('${')) return undefined;
  const [whole, name] = /^\$\{([^{}]*)\}$/.exec(level) ?? [];
  return { text: level, name: whole && name, opensTopic: isFirst && level.startsWith('${') };
}

/** The word that a level stands for; undefined where a variable in it has no usable value. */
export function wordOf({ text, name, opensTopic }: LevelTemplate, variables: Variables): string | undefined {
  const word = name === undefined ? replaced(text, variables) : usableValue(name, variables);
  return opensTopic && word?.startsWith('$') === true ? undefined : word;
}

/** Undefined: it has none. */
function valueOfVariable(name: string, variables: Variables): string | undefined {
  switch (name) {
    case 'tenant':
      return variables.tenant;
    case 'device':
      return variables.device;
    case 'clientId':
      return variables.clientId;
    case 'username':
      return variables.username;
    case commonNameVariable:
      return variables.commonName;
    default: {
      const key = name.slice('attr.'.length);
      return Object.hasOwn(variables.attributes, key) ? variables.attributes[key] : undefined;
    }
  }
}
