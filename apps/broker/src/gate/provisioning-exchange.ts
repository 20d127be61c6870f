import { z } from 'zod';

import { type Challenge, type Exchange, Reasons, type Refusal, type TenantId } from '#mqtt';

/** Names of our own methods (MQTT 5.0, 4.12): a claim token, or the certificate at hand, for a certificate. */
export const claimMethod = 'MOORAGE-CLAIM';
export const renewMethod = 'MOORAGE-RENEW';

const csr = z.string().min(1).max(16_384);
const claim = z.strictObject({
  token: z.string().min(1).max(200),
  csr,
  name: z.string().min(1).max(200).optional(),
});
const renewal = z.strictObject({ csr });
export type Claim = z.output<typeof claim>;

/**
 * CONNECT brings the request, AUTH takes the answer back, and that is all there is: nobody is ever signed in by it. Who has its
 * certificate connects again, with it.
 */
class ProvisioningExchange<Request> implements Exchange {
  readonly #schema: z.ZodType<Request>;
  readonly #answer: (request: Request) => Promise<Buffer | Refusal>;
  #isAnswered = false;

  constructor(schema: z.ZodType<Request>, answer: (request: Request) => Promise<Buffer | Refusal>) {
    this.#schema = schema;
    this.#answer = answer;
  }

  async next(data: Buffer | undefined): Promise<Challenge | Refusal> {
    if (this.#isAnswered) return refuse('provisioning: connect with the certificate');
    const request = this.#schema.safeParse(parse(data));
    if (!request.success) return refuse('provisioning: the request is not the JSON it has to be');
    const answer = await this.#answer(request.data);
    if (!Buffer.isBuffer(answer)) return answer;
    this.#isAnswered = true;
    return { kind: 'challenge', data: answer };
  }
}

export function claimExchange(answer: (request: Claim) => Promise<Buffer | Refusal>): Exchange {
  return new ProvisioningExchange(claim, answer);
}

export function renewalExchange(answer: (csr: string) => Promise<Buffer | Refusal>): Exchange {
  return new ProvisioningExchange(renewal, (request) => answer(request.csr));
}

/** Whose token it says it is: believed of those alone that the api has found to be right. */
export function tenantOfToken(token: string): TenantId | undefined {
  const bytes = Buffer.from(token.slice(token.indexOf('_') + 1), 'base64url').subarray(0, 16);
  if (bytes.length < 16) return undefined;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') as TenantId;
}

function parse(data: Buffer | undefined): unknown {
  try {
    return JSON.parse(data?.toString('utf8') ?? '');
  } catch {
    return undefined;
  }
}

function refuse(detail: string): Refusal {
  return { kind: 'refused', reason: Reasons.notAuthorized, detail, tenantId: undefined };
}
