import { Column } from '../columns.js';

export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: (string | number | Buffer)[];
}

type ColumnType = ConstructorParameters<typeof Column>[0];

/** Named columns that become the parameters $1, $2, … of one statement, in the order of their declaration. */
export class Rows<Shape extends Readonly<Record<string, ColumnType>>> {
  readonly columns: { readonly [Name in keyof Shape]: Column };
  #count = 0;

  constructor(shape: Shape) {
    this.columns = Object.fromEntries(
      Object.entries(shape).map(([name, type]) => [name, new Column(type)]),
    ) as { [Name in keyof Shape]: Column };
  }

  /** Announces one more row. */
  next(): this {
    this.#count += 1;
    return this;
  }

  finish(): Buffer[] {
    return Object.values<Column>(this.columns).map((column) => column.finish());
  }

  /** Adds the statement where there is a row for it. */
  statement(statements: Statement[], name: string, text: string, ...more: string[]): void {
    if (this.#count > 0) statements.push({ name, text, values: [...this.finish(), ...more] });
  }
}

export function finish(...columns: readonly Column[]): Buffer[] {
  return columns.map((column) => column.finish());
}

export function keys(rows: readonly { readonly tenantId: string; readonly clientId: string }[]): Buffer[] {
  const tenants = new Column('uuid');
  const clients = new Column('text');
  for (const { tenantId, clientId } of rows) {
    tenants.uuid(tenantId);
    clients.text(clientId);
  }
  return finish(tenants, clients);
}
