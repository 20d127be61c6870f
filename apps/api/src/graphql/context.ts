import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ControlStore } from '#store';
import { turnOf, type Access, type AccessDesk } from '../http/access.js';
import type { Right } from '../http/kept-answers.js';
import type { Permission } from '../permissions.js';
import type { Caller, TenantScope } from '../scope.js';
import { TenantLoaders } from './loaders.js';

/**
 * What the resolvers of one request share: who asks, the tenants it has been let into, and what it has read already. Every
 * way into a tenant goes through the desk that REST goes through.
 */
export class GraphqlContext {
  readonly #scopes = new Map<string, Promise<TenantScope>>();
  readonly #loaders = new Map<string, TenantLoaders>();
  readonly #rights = new Map<string, Right>();

  constructor(
    readonly req: FastifyRequest,
    readonly reply: FastifyReply | undefined,
    readonly caller: Caller,
    private readonly authorization: string | undefined,
    private readonly desk: AccessDesk,
    private readonly store: ControlStore,
    readonly operationName?: string | null,
  ) {}

  /** Once for each tenant a request names, however many fields name it. */
  enter(tenantRef: string): Promise<TenantScope> {
    let scope = this.#scopes.get(tenantRef);
    if (scope === undefined) {
      scope = this.desk.identify(this.authorization, tenantRef, turnOf(this.caller)).then(mustHaveScope);
      this.#scopes.set(tenantRef, scope);
    }
    return scope;
  }

  noteRight(right: Right): void {
    this.#rights.set(`${right.tenantId} ${right.permission}`, right);
  }

  /** All by which fields have been let through, by the guard of each. */
  get rights(): readonly Right[] {
    return [...this.#rights.values()];
  }

  /** For what outlives its request: whether the key still has the right it began with. */
  async mustStillBeAllowed(tenantRef: string, permission: Permission): Promise<void> {
    await this.desk.admit(this.authorization, tenantRef, permission, turnOf(this.caller));
  }

  /** For what outlives its request: links are read anew for what comes next. */
  forgetLinks(): void {
    this.#loaders.clear();
  }

  loadersOf(scope: TenantScope): TenantLoaders {
    let loaders = this.#loaders.get(scope.tenantId);
    if (loaders === undefined) {
      loaders = new TenantLoaders(this.store, scope.tenantId);
      this.#loaders.set(scope.tenantId, loaders);
    }
    return loaders;
  }
}

function mustHaveScope({ scope }: Access): TenantScope {
  if (scope === undefined) throw new Error('a tenant was named and no scope given');
  return scope;
}
