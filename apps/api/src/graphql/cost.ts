/**
 * What a GraphQL operation may ask for, decided before anything is executed. Depth bounds nesting, root fields bound
 * transactions, cost bounds objects: a field with sub-fields is worth one, times the page it stands in. Aliases count as
 * often as they are written; a fragment is measured once however often it is spread, so measuring is linear in the document.
 */
import { getNamedType, isListType, isNonNullType, isObjectType, Kind } from 'graphql';
import { maxPageSize } from '../http/paging.js';
import type {
  DocumentNode,
  FieldNode,
  FragmentDefinitionNode,
  GraphQLObjectType,
  GraphQLOutputType,
  GraphQLSchema,
  SelectionSetNode,
} from 'graphql';

export interface OperationLimits {
  readonly maxDepth: number;
  readonly maxRootFields: number;
  readonly maxCost: number;
}

export const operationLimits: OperationLimits = Object.freeze({
  // devices → edges → node → profile → name are five; the rest is room to grow.
  maxDepth: 10,
  // Each is a transaction of its own.
  maxRootFields: 20,
  // A full page of 200 devices with five links each is 1 400.
  maxCost: 5_000,
});

/** Of a document; a page full of nested fields has some hundreds. Checked while it is parsed. */
export const maxTokens = 2_000;

export interface Measure {
  readonly depth: number;
  readonly rootFields: number;
  readonly cost: number;
}

/** How many objects a list without a page size is taken for. */
const unpagedListSize = 10;
const defaultPageSize = 50;

/** The document is valid for the schema: its fragments exist and make no circle. */
export function measureOperation(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Readonly<Record<string, unknown>>,
): Measure {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  const measured = new Map<string, Measure>();

  const ofSelections = (set: SelectionSetNode, parent: GraphQLObjectType): Measure => {
    let depth = 0;
    let rootFields = 0;
    let cost = 0;
    for (const selection of set.selections) {
      const part =
        selection.kind === Kind.FIELD
          ? ofField(selection, parent)
          : selection.kind === Kind.INLINE_FRAGMENT
            ? ofSelections(selection.selectionSet, parent)
            : ofFragment(selection.name.value, parent);
      depth = Math.max(depth, part.depth);
      rootFields += part.rootFields;
      cost += part.cost;
    }
    return { depth, rootFields, cost };
  };

  const ofFragment = (name: string, parent: GraphQLObjectType): Measure => {
    const known = measured.get(name);
    if (known !== undefined) return known;
    const fragment = fragments.get(name);
    const measure =
      fragment === undefined
        ? { depth: 0, rootFields: 0, cost: 0 }
        : ofSelections(fragment.selectionSet, parent);
    measured.set(name, measure);
    return measure;
  };

  const ofField = (field: FieldNode, parent: GraphQLObjectType): Measure => {
    // Introspection answers from memory; graphql-js bounds its lists by MaxIntrospectionDepthRule.
    const definition = parent.getFields()[field.name.value];
    if (definition === undefined) return { depth: 1, rootFields: 1, cost: 0 };
    const type = getNamedType(definition.type);
    if (field.selectionSet === undefined || !isObjectType(type)) return { depth: 1, rootFields: 1, cost: 0 };
    const inner = ofSelections(field.selectionSet, type);
    const paged = definition.args.some((argument) => argument.name === 'first');
    // The edges of a connection are as many as its page, which has been counted.
    const size = paged
      ? pageSize(field, variables)
      : isList(definition.type) && !parent.name.endsWith('Connection')
        ? unpagedListSize
        : 1;
    return { depth: 1 + inner.depth, rootFields: 1, cost: 1 + size * inner.cost };
  };

  let worst: Measure = { depth: 0, rootFields: 0, cost: 0 };
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    if (operationName && definition.name?.value !== operationName) continue;
    const root = schema.getRootType(definition.operation);
    if (!root) continue;
    const measure = ofSelections(definition.selectionSet, root);
    worst = {
      depth: Math.max(worst.depth, measure.depth),
      rootFields: Math.max(worst.rootFields, measure.rootFields),
      cost: Math.max(worst.cost, measure.cost),
    };
  }
  return worst;
}

/** What is asked for too much, for the person who asked; undefined: nothing. */
export function exceeds(measure: Measure, limits: OperationLimits): string | undefined {
  if (measure.depth > limits.maxDepth)
    return `The operation is ${measure.depth} levels deep; ${limits.maxDepth} are allowed.`;
  if (measure.rootFields > limits.maxRootFields)
    return `The operation has ${measure.rootFields} root fields; ${limits.maxRootFields} are allowed.`;
  if (measure.cost > limits.maxCost)
    return `The operation costs ${measure.cost}; ${limits.maxCost} is allowed. Ask for smaller pages or fewer links.`;
  return undefined;
}

function pageSize(field: FieldNode, variables: Readonly<Record<string, unknown>>): number {
  const value = field.arguments?.find((argument) => argument.name.value === 'first')?.value;
  const asked =
    value?.kind === Kind.INT
      ? Number(value.value)
      : value?.kind === Kind.VARIABLE
        ? (variables[value.name.value] ?? maxPageSize) // it may have a default of its own
        : undefined;
  return typeof asked === 'number' && asked > 0 ? asked : defaultPageSize;
}

function isList(type: GraphQLOutputType): boolean {
  return isListType(isNonNullType(type) ? type.ofType : type);
}
