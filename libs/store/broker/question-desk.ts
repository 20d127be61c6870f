/** Questions of the api about live sessions, from the broker's side: each is answered once, one after the other. */
import type { Client } from 'pg';
import type { TenantId } from '#mqtt';
import { Channel } from './channel.js';
import { codeOf } from '../database/error-code.js';
import { questionLifeS, type LiveAnswer, type LiveQuestionRow } from '../control/questions.js';

export interface LiveQuestionOfTenant extends LiveQuestionRow {
  readonly tenantId: TenantId;
}

export interface QuestionDeskOptions {
  /** With the role moorage_broker. */
  readonly url: string;
  readonly processId: string;
  readonly answer: (question: LiveQuestionOfTenant) => Promise<LiveAnswer>;
  /** The connection is lost, or there was no answer; the desk goes on by itself. */
  readonly onError: (error: unknown) => void;
}

/** The question, or its tenant, is gone: whoever asked has given up. */
const foreignKeyViolation = '23503';

export class QuestionDesk {
  readonly #options: QuestionDeskOptions;
  readonly #channel: Channel;

  constructor(options: QuestionDeskOptions) {
    this.#options = options;
    this.#channel = new Channel({
      url: options.url,
      name: 'moorage-broker questions',
      channel: 'moorage_questions',
      look: (client) => this.#answerNext(client),
      onError: options.onError,
    });
  }

  /** Nobody waits for it: where it cannot be reached, the api says that an answer is missing. */
  start(): void {
    this.#channel.follow();
  }

  stop(): Promise<void> {
    return this.#channel.stop();
  }

  /** False: there is no other. */
  async #answerNext(client: Client): Promise<boolean> {
    const { processId, answer } = this.#options;
    const { rows } = await client.query<QuestionRow>(
      `SELECT q.tenant_id, q.id::text, q.device_ids::text[], q.client_id FROM questions q
        WHERE q.asked_at > now() - ${questionLifeS} * interval '1 s' AND NOT EXISTS (
          SELECT FROM answers a WHERE a.tenant_id = q.tenant_id AND a.question_id = q.id AND a.process_id = $1::uuid)
        ORDER BY q.asked_at LIMIT 1`,
      [processId],
    );
    const [row] = rows;
    if (row === undefined) return false;
    const result = await answer({
      tenantId: row.tenant_id as TenantId,
      deviceIds: row.device_ids,
      clientId: row.client_id ?? undefined,
    });
    try {
      await client.query(
        'INSERT INTO answers (tenant_id, question_id, process_id, result) VALUES ($1, $2, $3, $4)',
        [row.tenant_id, row.id, processId, JSON.stringify(result)],
      );
    } catch (error) {
      if (codeOf(error) !== foreignKeyViolation) throw error;
    }
    return true;
  }
}

interface QuestionRow {
  readonly tenant_id: string;
  readonly id: string;
  readonly device_ids: string[];
  readonly client_id: string | null;
}
