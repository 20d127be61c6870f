import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Readiness } from '#process';
import { Answers } from '../http/answers.decorator.js';
import { Open } from '../http/requires.decorator.js';
import { READINESS } from '../injection-tokens.js';

const live = z.object({ live: z.literal(true) });
const ready = z.object({
  ready: z.boolean(),
  waitingFor: z.record(z.string(), z.string()).describe('What is not ready, and why'),
});

@Controller()
export class HealthController {
  constructor(
    @Inject(READINESS) private readonly readiness: () => Promise<ReturnType<Readiness['report']>>,
  ) {}

  @Get('livez')
  @Open()
  @Answers(200, live, { summary: 'Whether the process runs' })
  livez(): z.infer<typeof live> {
    return { live: true };
  }

  @Get('readyz')
  @Open()
  @Answers(200, ready, { summary: 'Whether the process can work; 503 where it cannot' })
  async readyz(@Res({ passthrough: true }) reply: FastifyReply): Promise<z.infer<typeof ready>> {
    const report = await this.readiness();
    if (!report.ready) void reply.status(503);
    return report;
  }
}
