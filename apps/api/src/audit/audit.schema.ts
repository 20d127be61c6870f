import { z } from 'zod';
import type { AuditEntry } from '#store';
import { instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const word = z.string().min(1).max(200).optional();

export const auditQuery = z.strictObject({
  ...pageQuery,
  actor: word.describe('Shown part of an API key'),
  action: word.describe('E.g. device.create'),
  subjectKind: word,
  subjectId: word,
  from: instant.optional().describe('At or after'),
  to: instant.optional().describe('Before'),
});

export const platformAuditQuery = auditQuery.extend({
  tenantId: z
    .uuid()
    .optional()
    .describe("Of a tenant, which may be deleted: its entries instead of the platform's own"),
});

export const auditView = z
  .object({
    id: z.string(),
    at: z.iso.datetime(),
    actor: z.string().describe('Shown part of the API key'),
    action: z.string(),
    subjectKind: z.string(),
    subjectId: z.string(),
    detail: z.unknown(),
  })
  .meta({ id: 'AuditEntry' });

export function presentAudit(row: AuditEntry): z.input<typeof auditView> {
  return {
    id: String(row.id),
    at: row.at.toISOString(),
    actor: row.actor,
    action: row.action,
    subjectKind: row.subjectKind,
    subjectId: row.subjectId,
    detail: row.detail,
  };
}
