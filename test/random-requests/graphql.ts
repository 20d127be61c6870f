/** Operations made of what introspection says, their arguments in variables. */
import {
  buildClientSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLOutputType,
  type IntrospectionQuery,
} from 'graphql';
import type { Values } from './values.js';

export interface Operation {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

type Root = readonly [kind: 'query' | 'mutation', field: GraphQLField<unknown, unknown>];

export class GraphqlOperations {
  readonly #values: Values;
  readonly #roots: readonly Root[];

  constructor(introspection: IntrospectionQuery, values: Values, isTried: (field: string) => boolean) {
    const schema = buildClientSchema(introspection);
    const fieldsOf = (kind: 'query' | 'mutation'): Root[] => {
      const type = kind === 'query' ? schema.getQueryType() : schema.getMutationType();
      return Object.values(type?.getFields() ?? {}).map((field) => [kind, field] as const);
    };
    this.#values = values;
    this.#roots = [...fieldsOf('query'), ...fieldsOf('mutation')].filter(([, { name }]) => isTried(name));
  }

  next(tenant: string): Operation {
    const [kind, field] = this.#values.pick(this.#roots);
    const given = field.args.filter(({ type }) => isNonNullType(type) || this.#values.chance(0.5));
    const declared = given.map(({ name, type }) => `$${name}: ${type.toString()}`).join(', ');
    const used = given.map(({ name }) => `${name}: $${name}`).join(', ');
    const inBrackets = (list: string): string => (list === '' ? '' : `(${list})`);
    const isOwn = this.#values.chance(0.9);
    return {
      query: `${kind}${inBrackets(declared)} { ${field.name}${inBrackets(used)} ${this.#selection(field.type)} }`,
      variables: Object.fromEntries(
        given.map(({ name, type }) => [name, name === 'tenant' && isOwn ? tenant : this.#value(type)]),
      ),
    };
  }

  #value(type: GraphQLInputType, depth = 0): unknown {
    const values = this.#values;
    if (isNonNullType(type)) return this.#value(type.ofType, depth);
    if (values.isStrange(depth)) return values.strange();
    if (isListType(type))
      return Array.from({ length: values.count(2) }, () => this.#value(type.ofType, depth + 1));
    if (isEnumType(type)) return values.pick(type.getValues()).name;
    if (isInputObjectType(type)) {
      const members = Object.values(type.getFields()).filter(
        (member) => isNonNullType(member.type) || values.chance(0.5),
      );
      return Object.fromEntries(members.map((member) => [member.name, this.#value(member.type, depth + 1)]));
    }
    if (type.name === 'Int' || type.name === 'Float') return values.pick([0, 1, 2, 50, 200, 201, -1]);
    if (type.name === 'Boolean') return values.chance(0.5);
    if (type.name === 'JSON') return values.pick([{}, { site: 'x' }, [1], 'x', values.strange()]);
    return type.name === 'ID' ? values.id() : values.word();
  }

  #selection(type: GraphQLOutputType, depth = 0): string {
    const named = getNamedType(type);
    if (!isObjectType(named)) return '';
    const chosen = Object.values(named.getFields()).flatMap((field) => {
      if (field.args.some((argument) => isNonNullType(argument.type))) return [];
      if (!isObjectType(getNamedType(field.type))) return this.#values.chance(0.8) ? [field.name] : [];
      if (depth > 2 || !this.#values.chance(0.6)) return [];
      return [`${field.name} ${this.#selection(field.type, depth + 1)}`];
    });
    return `{ __typename ${chosen.join(' ')} }`;
  }
}
