/** Questions of the api about live sessions, from the broker's side: each is answered once, one after the other. */
import { Client } from 'pg';
import type { TenantId } from '#mqtt';
import { toStoreError } from './errors.js';
import { codeOf } from './error-code.js';
import { questionLifeS, type LiveAnswer, type LiveQuestionRow } from './questions.js';

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

const longestPauseMs = 2_000;
/** The question, or its tenant, is gone: whoever asked has given up. */
const foreignKeyViolation = '23503';

export class QuestionDesk {
  readonly #options: QuestionDeskOptions;
  #client: Client | undefined;
  #isStopped = false;
  #hasNews = false;
  #wake: () => void = () => {
    this.#hasNews = true;
  };
  #running: Promise<void> = Promise.resolve();

  constructor(options: QuestionDeskOptions) {
    this.#options = options;
  }

  /** Nobody waits for it: where it cannot be reached, the api says that an answer is missing. */
  start(): void {
    this.#running = this.#serve();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#running;
    await this.#disconnect();
  }

  async #serve(): Promise<void> {
    let pauseMs = 50;
    while (!this.#isStopped) {
      try {
        const client = this.#client ?? (await this.#connect());
        this.#hasNews = false;
        while (!this.#isStopped && (await this.#answerNext(client)));
        pauseMs = 50;
        await this.#waitForNews();
      } catch (error) {
        this.#options.onError(toStoreError(error));
        await this.#disconnect();
        this.#hasNews = false;
        await this.#waitForNews(pauseMs);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
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

  async #connect(): Promise<Client> {
    const client = new Client({
      connectionString: this.#options.url,
      application_name: 'moorage-broker questions',
      connectionTimeoutMillis: 5_000,
      query_timeout: 30_000,
      keepAlive: true,
    });
    const lost = (): void => {
      if (this.#client !== client) return; // it was never there, or is given up already: whoever cannot connect pauses
      this.#client = undefined;
      this.#wake();
    };
    client.on('error', lost); // its queries' rejections say what happened
    client.on('end', lost);
    client.on('notification', () => this.#wake());
    await client.connect();
    this.#client = client;
    // Before the first look at the table: what commits after that look wakes us.
    await client.query('LISTEN moorage_questions');
    return client;
  }

  async #disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined); // it is given up, whatever its end is like
  }

  /** Returns at once for news that came while nobody waited; without a time, only for news. */
  async #waitForNews(ms?: number): Promise<void> {
    if (this.#isStopped || this.#hasNews) return;
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      this.#wake = () => {
        this.#hasNews = true;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {
      this.#hasNews = true;
    };
  }
}

interface QuestionRow {
  readonly tenant_id: string;
  readonly id: string;
  readonly device_ids: string[];
  readonly client_id: string | null;
}
