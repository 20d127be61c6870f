import { z } from 'zod';
import { csr } from '../issuing/device-certificate.schema.js';

export const newClaim = z
  .strictObject({
    token: z.string().min(1).max(200).describe('A claim token: moc_…'),
    csr,
    name: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('What the device calls itself; absent: the common name of the request'),
  })
  .meta({ id: 'NewClaim' });
export type NewClaimInput = z.output<typeof newClaim>;

const endpoint = z
  .object({
    host: z.string().nullable().describe("The tenant's own host name; null: where the device claims"),
    port: z.int(),
    path: z.string().optional(),
  })
  .meta({ id: 'Endpoint' });

/** All that a device needs from here on. */
export const claimView = z
  .object({
    device: z.object({ id: z.uuid(), name: z.string() }),
    tenant: z.string().describe('Slug'),
    clientId: z.string(),
    username: z.string().describe('Not needed with the certificate, and good with it'),
    certificate: z.string().describe('PEM'),
    chain: z.string().describe('To be sent along: PEM'),
    notAfter: z.iso.datetime().describe('Renew before'),
    endpoints: z.object({ mqtts: endpoint, wss: endpoint }),
  })
  .meta({ id: 'Claim' });
export type ClaimView = z.input<typeof claimView>;

export const newRenewal = z.strictObject({
  tenantId: z.uuid(),
  credentialId: z.uuid(),
  csr,
  address: z.string().max(100),
});
export type NewRenewalInput = z.output<typeof newRenewal>;

export const brokersClaim = newClaim.extend({ address: z.string().max(100) });
export type BrokersClaimInput = z.output<typeof brokersClaim>;

export const newRegistration = z.strictObject({
  tenantId: z.uuid(),
  anchorId: z.uuid(),
  kind: z.enum(['device', 'authId']),
  name: z.string().min(1).max(200),
  address: z.string().max(100),
});
export type NewRegistrationInput = z.output<typeof newRegistration>;

export const registrationView = z.object({
  registered: z.boolean(),
  why: z.string().nullable().describe('Where it is not: a stable code'),
});
