/**
 * What a GraphQL operation may ask for, decided before anything is executed. Depth bounds nesting, root fields bound
 * transactions, cost bounds objects: a field with sub-fields is worth one, times the page it stands in. Lists of devices to be
 * made are one upload, all together. Aliases count as often as they are written; a fragment is measured once however often it
 * is spread, so measuring is linear in the document.
 */
import {
  getNamedType,
  getOperationAST,
  getVariableValues,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  valueFromAST,
} from 'graphql';
import { maxBulkCredentials, maxBulkRows } from '../devices/bulk.js';
import { maxPageSize } from '../http/paging.js';
import type {
  DocumentNode,
  FieldNode,
  FragmentDefinitionNode,
  GraphQLField,
  GraphQLObjectType,
  GraphQLOutputType,
  GraphQLSchema,
  SelectionSetNode,
} from 'graphql';

export interface OperationLimits {
  readonly maxDepth: number;
  readonly maxRootFields: number;
  readonly maxCost: number;
  readonly maxDevices: number;
  readonly maxCredentials: number;
}

export const operationLimits: OperationLimits = Object.freeze({
  // devices → edges → node → profile → name are five; the rest is room to grow.
  maxDepth: 10,
  // Each is a transaction of its own.
  maxRootFields: 20,
  // A full page of 200 devices with five links each is 1 400.
  maxCost: 5_000,
  maxDevices: maxBulkRows,
  maxCredentials: maxBulkCredentials,
});

/** Of a document; a page full of nested fields has some hundreds. Checked while it is parsed. */
export const maxTokens = 2_000;

export interface Measure {
  readonly depth: number;
  readonly rootFields: number;
  readonly cost: number;
  /** In lists of devices to be made. */
  readonly devices: number;
  readonly credentials: number;
}

const nothing: Measure = { depth: 0, rootFields: 0, cost: 0, devices: 0, credentials: 0 };
const leaf: Measure = { ...nothing, depth: 1, rootFields: 1 };

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
  const operation = getOperationAST(document, operationName);
  const root = operation && schema.getRootType(operation.operation);
  if (!root) return nothing;
  // Where they fit no type nothing is executed.
  const values = getVariableValues(schema, operation.variableDefinitions ?? [], variables).coerced ?? {};

  const ofSelections = (set: SelectionSetNode, parent: GraphQLObjectType): Measure => {
    let sum = nothing;
    for (const selection of set.selections) {
      const part =
        selection.kind === Kind.FIELD
          ? ofField(selection, parent)
          : selection.kind === Kind.INLINE_FRAGMENT
            ? ofSelections(selection.selectionSet, parent)
            : ofFragment(selection.name.value, parent);
      sum = {
        depth: Math.max(sum.depth, part.depth),
        rootFields: sum.rootFields + part.rootFields,
        cost: sum.cost + part.cost,
        devices: sum.devices + part.devices,
        credentials: sum.credentials + part.credentials,
      };
    }
    return sum;
  };

  const ofFragment = (name: string, parent: GraphQLObjectType): Measure => {
    const known = measured.get(name);
    if (known !== undefined) return known;
    const fragment = fragments.get(name);
    const measure = fragment === undefined ? nothing : ofSelections(fragment.selectionSet, parent);
    measured.set(name, measure);
    return measure;
  };

  const ofField = (field: FieldNode, parent: GraphQLObjectType): Measure => {
    // Introspection answers from memory; graphql-js bounds its lists by MaxIntrospectionDepthRule.
    const definition = parent.getFields()[field.name.value];
    if (definition === undefined) return leaf;
    const type = getNamedType(definition.type);
    if (field.selectionSet === undefined || !isObjectType(type)) return leaf;
    const inner = ofSelections(field.selectionSet, type);
    const paged = definition.args.some((argument) => argument.name === 'first');
    // The edges of a connection are as many as its page, which has been counted.
    const size = paged
      ? pageSize(field, values)
      : isList(definition.type) && !parent.name.endsWith('Connection')
        ? unpagedListSize
        : 1;
    return {
      ...uploadIn(field, definition, values),
      depth: 1 + inner.depth,
      rootFields: 1,
      cost: 1 + size * inner.cost,
    };
  };

  return ofSelections(operation.selectionSet, root);
}

/** What is asked for too much, for the person who asked; undefined: nothing. */
export function exceeds(measure: Measure, limits: OperationLimits): string | undefined {
  if (measure.depth > limits.maxDepth)
    return `The operation is ${measure.depth} levels deep; ${limits.maxDepth} are allowed.`;
  if (measure.rootFields > limits.maxRootFields)
    return `The operation has ${measure.rootFields} root fields; ${limits.maxRootFields} are allowed.`;
  if (measure.cost > limits.maxCost)
    return `The operation costs ${measure.cost}; ${limits.maxCost} is allowed. Ask for smaller pages or fewer links.`;
  if (measure.devices > limits.maxDevices)
    return `The operation makes ${measure.devices} devices; ${limits.maxDevices} are allowed.`;
  if (measure.credentials > limits.maxCredentials)
    return `The operation makes ${measure.credentials} credentials; ${limits.maxCredentials} are allowed.`;
  return undefined;
}

/** What a field would make that takes a list of devices. */
function uploadIn(
  field: FieldNode,
  { args }: GraphQLField<unknown, unknown>,
  variables: Readonly<Record<string, unknown>>,
): Pick<Measure, 'devices' | 'credentials'> {
  const argument = args.find(({ type }) => getNamedType(type).name === 'BulkDevice');
  const value = field.arguments?.find(({ name }) => name.value === argument?.name)?.value;
  if (argument === undefined || value === undefined) return nothing;
  const devices = (valueFromAST(value, argument.type, variables) ?? []) as readonly UploadedDevice[];
  const credentials = devices.reduce((sum, device) => sum + (device.credentials?.length ?? 0), 0);
  return { devices: devices.length, credentials };
}

/** In the schema's words: whatever is written, a list comes of it. */
interface UploadedDevice {
  readonly credentials?: readonly unknown[] | null;
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
